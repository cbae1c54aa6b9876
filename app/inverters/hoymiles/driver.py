"""A gateway to Hoymiles inverters over MQTT: topics in, limits out, and whoever else commands is noticed."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import ClassVar

from app.broker import Broker, Handler, Message
from app.checks import Check, until
from app.inverters.base import EXAMINE_S, InverterDriver, examined
from app.inverters.hoymiles.commands import Whose
from app.inverters.hoymiles.gateway import HeardGateway
from app.inverters.hoymiles.heard import Heard, Take
from app.inverters.hoymiles.payload import text
from app.inverters.hoymiles.retained import Sweeper
from app.model import GatewayState, InverterState
from app.seldom import Seldom

log = logging.getLogger(__name__)

BAD_INPUT_S = 3600.0


class HoymilesDriver(InverterDriver):
    """All configured inverters behind one gateway. ``dropped`` counts the fields that could not be used.

    ``obeyed``: everything that the gateway obeys for one inverter; ``limit``, ``power``: those that we send.
    """

    limit: ClassVar[str]
    power: ClassVar[str]
    obeyed: ClassVar[tuple[str, ...]]
    examine_s: ClassVar[float] = EXAMINE_S
    unit: ClassVar[str] = ""  # behind the watts of a limit

    def __init__(
        self,
        broker: Broker,
        *,
        clock: Callable[[], float] = time.monotonic,
        utc: Callable[[], float] = time.time,
    ) -> None:
        self.dropped = 0
        self.broker = self._broker = broker
        self._clock, self._utc = clock, utc
        self._inverters: dict[str, Heard] = {}
        self._gateway: HeardGateway
        self._sweeper = Sweeper(broker)
        self._seldom = Seldom(BAD_INPUT_S)
        broker.on_connect(self._connected)
        broker.on_disconnect(self._disconnected)

    def listen(self, prefix: str, gateway: HeardGateway, inverters: Iterable[tuple[str, Heard]]) -> None:
        """Subscribe to what they say. ``prefix``: of all topics; an inverter's own are below it and the given one."""
        self._gateway = gateway
        for topic, take in gateway.topics():
            self._broker.subscribe(f"{prefix}/{topic}", self._counted(take))
        for below, inverter in inverters:
            serial = inverter.config.id
            self._inverters[serial] = inverter
            for topic, take in inverter.topics():
                self._broker.subscribe(f"{prefix}/{below}/{topic}", self._counted(take))
            for command in self.obeyed if inverter.config.enabled else ():
                self._broker.subscribe(self.topic(serial, command), partial(self._on_command, inverter, command))

    def topic(self, serial: str, command: str) -> str:
        """Where the gateway takes a command for an inverter."""
        raise NotImplementedError

    # -- the driver's surface --------------------------------------------------------------------------

    def states(self, guarded: frozenset[str] = frozenset()) -> tuple[InverterState, ...]:
        """What is known now, in the order of the configuration. ``guarded``: serials whose will is armed."""
        now_s, gateway = self._clock(), self._gateway
        return tuple(
            inverter.state(
                now_s, gateway.online, guarded=serial in guarded, gateway=gateway.name, refused=gateway.refused
            )
            for serial, inverter in self._inverters.items()
        )

    def gateway(self) -> GatewayState:
        """What is known of the gateway itself."""
        return self._gateway.state()

    async def set_limit(self, serial: str, limit_w: float) -> bool:
        """Send a non-persistent limit in AC watts; True when the broker has it."""
        inverter = self._inverters[serial]
        _, payload = self._limit(serial, limit_w)
        sent_s, watts = self._clock(), float(payload.removesuffix(self.unit))
        inverter.commands.telling = inverter.limit_at_s is not None and not inverter.shows(watts)
        if not await self._send(inverter, self.limit, payload):
            return False
        inverter.commanded_w, inverter.commanded_at_s = watts, sent_s
        return True

    async def set_power(self, serial: str, *, on: bool) -> bool:
        """Switch an inverter on or off; True when the broker has it."""
        inverter = self._inverters[serial]
        if not inverter.config.enabled:
            raise ValueError(f"refusing to switch {serial}")
        sent_s = self._clock()
        if not await self._send(inverter, self.power, str(int(on))):
            return False
        if on is not inverter.power_on:  # not merely sent again
            inverter.power_on, inverter.powered_at_s = on, sent_s
        return True

    async def examine(self) -> list[Check]:
        """What `doctor` finds: the gateway itself first."""
        await until(self.answered, self.examine_s)
        silent, unknown = self.next_steps()
        gateway = self._gateway
        if gateway.state().seen_at_s is None:
            nothing = f"has published nothing under {gateway.prefix}/ in {self.examine_s:.0f} s"
            state = "is offline" if gateway.online is False else nothing
            return [Check("inverter", "fail", f"{gateway.name} {state}", silent)]
        checks = [examined(state, gateway.name, unknown) for state in self.states()]
        if gateway.refused:
            checks.insert(0, Check("inverter", "fail", gateway.refused, gateway.next_step))
        return checks

    def answered(self) -> bool:
        """Whether `doctor` need not wait any longer."""
        return all(state.power_at_s is not None for state in self.states())

    def next_steps(self) -> tuple[str, str]:
        """What to do where `doctor` finds the gateway silent, and where it does not know an inverter."""
        raise NotImplementedError

    def will(self, serial: str, limit_w: float) -> tuple[str, str]:
        """Topic and payload with which the broker may command this limit in our name: that is no foreign command."""
        topic, payload = self._limit(serial, limit_w)
        self._inverters[serial].commands.expect_will(payload)
        return topic, payload

    # -- what goes out ---------------------------------------------------------------------------------

    def _limit(self, serial: str, limit_w: float) -> tuple[str, str]:
        """Topic and payload of a limit: plain decimal, within what the inverter can hold."""
        config = self._inverters[serial].config
        if not math.isfinite(limit_w) or not config.enabled:
            raise ValueError(f"refusing to command {serial} to {limit_w!r} W")
        watts = min(config.max_watt, max(config.floor_w, limit_w))
        return self.topic(serial, self.limit), f"{watts:.1f}{self.unit}"

    async def _send(self, inverter: Heard, command: str, payload: str) -> bool:
        if not self._broker.connected or self._gateway.refused:
            return False
        commands, topic = inverter.commands, self.topic(inverter.config.id, command)
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
            inverter.disconnected()

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
