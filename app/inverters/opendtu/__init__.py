"""Hoymiles inverters behind OpenDTU (or OpenDTU-OnBattery), over MQTT.

Topics and their meaning: OpenDTU's MQTT handlers. What matters: most topics are retained, so only live
messages prove anything; ``<serial>/0/*`` comes only with new data, a reachable flag and the time of the
sample precede it in the same burst, and ``0/efficiency`` ends it; ``status/limit_*`` echoes the last
acknowledged command and is no measurement.
"""

from app.inverters.opendtu.config import OpenDtuConfig, OpenDtuInverterConfig
from app.inverters.opendtu.driver import OpenDtu

__all__ = ["OpenDtu", "OpenDtuConfig", "OpenDtuInverterConfig"]
