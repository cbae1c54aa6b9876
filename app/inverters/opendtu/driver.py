"""The driver: topics in, limits out."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from functools import partial

from app.broker import Broker, Handler, Message
from app.checks import Check, until
from app.inverters.base import EXAMINE_S, InverterDriver, examined
from app.inverters.opendtu.commands import LIMIT, OBEYED, POWER, Commands, Whose
from app.inverters.opendtu.config import OpenDtuConfig, OpenDtuInverterConfig
from app.inverters.opendtu.gateway import Gateway
from app.inverters.opendtu.heard import Heard, Take
from app.inverters.opendtu.payload import text
from app.inverters.opendtu.retained import Sweeper
from app.model import GatewayState, InverterState
from app.seldom import Seldom

log = logging.getLogger(__name__)

PATIENCE_S, PATIENCE_EACH_S = 8.0, 2.5  # as long as OpenDTU may take to show a limit
BAD_INPUT_S = 3600.0


class OpenDtu(InverterDriver):
    """All configured inverters behind one OpenDTU. ``dropped`` counts the fields that could not be used."""

    def __init__(
        self,
        config: OpenDtuConfig,
        inverters: tuple[OpenDtuInverterConfig, ...],
        broker: Broker,
        *,
        clock: Callable[[], float] = time.monotonic,
        utc: Callable[[], float] = time.time,
    ) -> None:
        self.dropped = 0
        self._prefix = config.topic_prefix
        self.broker = self._broker = broker
        self._clock = clock
        gap_s = max(60.0, 15.0 * len(inverters))  # each is polled every 5 s x their number
        patience_s = PATIENCE_S + PATIENCE_EACH_S * len(inverters)
        self._inverters = {item.serial: Heard(item, clock, utc, gap_s, Commands(patience_s)) for item in inverters}
        self._gateway = Gateway(self._prefix, clock, utc, self._lose_limits)
        self._sweeper = Sweeper(broker)
        self._seldom = Seldom(BAD_INPUT_S)
        broker.on_connect(self._connected)
        broker.on_disconnect(self._disconnected)
        for topic, take in self._gateway.topics():
            broker.subscribe(f"{self._prefix}/{topic}", self._counted(take))
        for serial, inverter in self._inverters.items():
            for topic, take in inverter.topics():
                broker.subscribe(f"{self._prefix}/{serial}/{topic}", self._counted(take))
            for command in OBEYED if inverter.config.enabled else ():
                broker.subscribe(self._topic(serial, command), partial(self._on_command, inverter, command))

    # -- the driver's surface --------------------------------------------------------------------------

    def states(self, guarded: frozenset[str] = frozenset()) -> tuple[InverterState, ...]:
        """What is known now, in the order of the configuration. ``guarded``: serials whose will is armed."""
        now_s, online = self._clock(), self._gateway.online
        return tuple(
            inverter.state(now_s, online, guarded=serial in guarded) for serial, inverter in self._inverters.items()
        )

    def gateway(self) -> GatewayState:
        """What is known of OpenDTU itself."""
        return self._gateway.state()

    async def set_limit(self, serial: str, limit_w: float) -> bool:
        """Send a non-persistent limit in AC watts; True when the broker has it."""
        inverter = self._inverters[serial]
        _, payload = self._limit(serial, limit_w)
        sent_s = self._clock()
        inverter.commands.telling = inverter.limit_at_s is not None and not inverter.shows(float(payload))
        if not await self._send(inverter, LIMIT, payload):
            return False
        inverter.commanded_w, inverter.commanded_at_s = float(payload), sent_s
        return True

    async def set_power(self, serial: str, *, on: bool) -> bool:
        """Switch an inverter on or off; True when the broker has it."""
        inverter = self._inverters[serial]
        if not inverter.config.enabled:
            raise ValueError(f"refusing to switch {serial}")
        sent_s = self._clock()
        if not await self._send(inverter, POWER, str(int(on))):
            return False
        if on is not inverter.power_on:  # not merely sent again
            inverter.power_on, inverter.powered_at_s = on, sent_s
        return True

    async def examine(self) -> list[Check]:
        """What `doctor` finds: OpenDTU itself first."""
        await until(lambda: all(state.power_at_s is not None for state in self.states()), EXAMINE_S)
        if self._gateway.state().seen_at_s is None:
            silent = f"has published nothing under {self._prefix}/ in {EXAMINE_S:.0f} s"
            state = "is offline" if self._gateway.online is False else silent
            step = (
                f"In OpenDTU, Settings > MQTT: enable it with this broker, topic {self._prefix}/, and its user and "
                "password."
            )
            return [Check("inverter", "fail", f"OpenDTU {state}", step)]
        step = "Compare inverters.serial in config.yaml with OpenDTU's Settings > Inverters."
        return [examined(state, "OpenDTU", step) for state in self.states()]

    def will(self, serial: str, limit_w: float) -> tuple[str, str]:
        """Topic and payload with which the broker may command this limit in our name: that is no foreign command."""
        topic, payload = self._limit(serial, limit_w)
        self._inverters[serial].commands.expect_will(payload)
        return topic, payload

    # -- what goes out ---------------------------------------------------------------------------------

    def _topic(self, serial: str, command: str) -> str:
        return f"{self._prefix}/{serial}/cmd/{command}"

    def _limit(self, serial: str, limit_w: float) -> tuple[str, str]:
        """Topic and payload of a limit: plain decimal, within what the inverter can hold."""
        config = self._inverters[serial].config
        if not math.isfinite(limit_w) or not config.enabled:
            raise ValueError(f"refusing to command {serial} to {limit_w!r} W")
        return self._topic(serial, LIMIT), f"{min(config.max_watt, max(config.floor_w, limit_w)):.1f}"

    async def _send(self, inverter: Heard, command: str, payload: str) -> bool:
        if not self._broker.connected:
            return False
        commands, topic = inverter.commands, self._topic(inverter.config.serial, command)
        commands.sending(command, payload, self._clock())
        taken = await self._broker.publish(topic, payload, qos=1, retain=False)
        commands.sent(command, payload, taken=taken)
        for kept, what in commands.retained.items():
            commands.blame(what, self._clock())
            self._sweeper.sweep(kept)
        return taken

    # -- what comes in ---------------------------------------------------------------------------------

    def _counted(self, take: Take) -> Handler:
        def handler(message: Message) -> None:
            if not take(message):
                self.dropped += 1
                if self._seldom.due(message.topic.rpartition("/")[2]):
                    log.warning("MQTT: %s: %r cannot be used", message.topic, text(message.payload))

        return handler

    async def _connected(self) -> None:
        """What was commanded meanwhile, in our name or not, we have not heard."""
        for inverter in self._inverters.values():
            if inverter.commands.any:
                inverter.lose_limit("the MQTT broker was away")

    def _disconnected(self) -> None:
        self._gateway.disconnected()
        for inverter in self._inverters.values():
            inverter.commands.disconnected()

    def _lose_limits(self, why: str) -> None:
        for inverter in self._inverters.values():
            inverter.lose_limit(why)

    def _on_command(self, inverter: Heard, command: str, message: Message) -> None:
        """Something arrived on a command topic: our own, or a conflict where we command this inverter."""
        commands, topic = inverter.commands, message.topic
        if not message.payload:
            commands.retained.pop(topic, None)
            return
        what, now_s = f"{command}: {text(message.payload, 40)}", self._clock()
        if message.retain:
            if commands.any and topic not in commands.retained:
                inverter.lose_limit("somebody left a command at the broker")
            commands.retained[topic] = f"{what}, retained"
            if commands.any:
                commands.blame(commands.retained[topic], now_s)
                self._sweeper.sweep(topic)
        elif commands.any:
            whose = commands.whose(command, message.payload[:64].decode("ascii", errors="replace"), now_s)
            if whose is Whose.FOREIGN:
                commands.blame(what, now_s)
                self._sweeper.look(topic)
            if whose is not Whose.OWN:
                inverter.lose_limit(f"a command arrived that is {whose.value}")
