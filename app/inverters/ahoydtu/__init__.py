"""Hoymiles inverters behind AhoyDTU, over MQTT.

Topics and their meaning: AhoyDTU's publisher. What matters: telemetry goes by the inverter's name and control by its
number; an inverter's data come when it has answered, about every 15 s, with ``last_success`` in front and
``radio_stat`` behind; ``ack_pwr_limit`` repeats what was asked for as soon as the inverter has answered, whether it
accepted that or not; a retained command is obeyed again with every reconnection.
"""

from app.inverters.ahoydtu.config import AhoyDtuInverterConfig
from app.inverters.ahoydtu.driver import AhoyDtu, ahoydtus

__all__ = ["AhoyDtu", "AhoyDtuInverterConfig", "ahoydtus"]
