"""Whether what we publish as a grid meter can come back as our own reading: nothing would be regulated any more."""

from __future__ import annotations

from collections.abc import Iterable

from app.fields import BrokerConfig, host_and_port
from app.meters.base import MeterSection
from app.meters.mqtt import MqttMeterConfig
from app.meters.victron import VictronConfig

_HERE = {"localhost", "127.0.0.1", "::1"}
ALONE = "set venus.grid to false, so that it is told of the inverters alone"


def refuse_feedback(meters: Iterable[MeterSection], topic: str, published: BrokerConfig, ours: BrokerConfig) -> None:
    """Raise ValueError for a meter that may be our own message. ``published``: the broker that gets it.

    Over MQTT a GX device says which of its grid meters is which, so that one that is named can be looked at while the
    program runs. Over Modbus nothing tells them apart, wherever the device has its messages from.
    """
    for meter in meters:
        if isinstance(meter, VictronConfig):
            _victron(meter, published)
        elif isinstance(meter, MqttMeterConfig) and _host(meter.mqtt or ours) == _host(published):
            _mqtt(meter, topic)


def _victron(meter: VictronConfig, published: BrokerConfig) -> None:
    if meter.transport == "modbus":
        raise ValueError(
            "venus: the meter is a GX device over Modbus, which may show our own grid power as its meter: "
            f"it would feed back on itself, and Modbus cannot tell them apart; {ALONE}, or read it over MQTT"
        )
    where = {_name(str(meter.host))} if meter.host is not None else set()
    where |= {_host(meter.mqtt)} if meter.mqtt is not None else set()
    if meter.instance is None and _host(published) in where:
        raise ValueError(
            f"venus: publishes to {published.host}, where the meter (type victron) reads: the GX device would show our "
            f"own grid power back to us; {ALONE}, or name its own meter in meter.instance"
        )


def _mqtt(meter: MqttMeterConfig, topic: str) -> None:
    for one in (meter.topic, meter.import_topic, meter.export_topic):
        if one is not None and (one == topic or one.startswith(f"{topic}/")):
            raise ValueError(f"venus: publishes on {topic}, which is what the meter reads: give it another topic")


def _host(broker: BrokerConfig) -> str:
    return _name(broker.host)


def _name(host: str) -> str:
    name = host_and_port(host, 0)[0].lower()
    return "localhost" if name in _HERE else name
