"""A meter that speaks Modbus TCP, or Modbus RTU behind a gateway: a known model, or registers that are named."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from app.access import Access
from app.fields import Host
from app.meters.base import About, Emit, Meter, PolledConfig, poll, watts
from app.meters.registers import PRODUCTS, Register, Span, Words, models, spans, value
from app.modbus import Framing, ModbusClient
from app.model import DeviceDataError, DeviceError, Phase, Reading

LONGEST_PAUSE_S = 10.0
COUNTERS_S = 10.0  # the bus is slow: the counters are read now and then
POWERS = ("power", "import_power", "export_power", "phases")
_REGISTER = "{address: 52, function: 4, type: float32}"


def _models_in_schema(schema: dict[str, Any]) -> None:
    schema["properties"]["model"]["anyOf"][0]["enum"] = sorted(models())


class ModbusConfig(PolledConfig):
    """A Modbus meter. Give ``model``, or ``power``, or ``import_power`` and ``export_power``, or ``phases``."""

    about = About(
        products=f"Modbus meters: {', '.join(model[PRODUCTS] for model in models().values())}; others by their "
        "registers (inverters and gateways, too, where they show the power of the grid)",
        example="type: modbus\nhost: 192.168.1.20\nmodel: sdm630",
        speed="as fast as the device and its bus; one request a second",
        limits=(
            "the gateways of RS485 want framing: rtu where they only hand on the bytes; the DDSU666 that Hoymiles "
            "sells counts the other way round (invert: true)"
        ),
    )

    model_config = ConfigDict(json_schema_extra=_models_in_schema)

    type: Literal["modbus"]
    host: Host = Field(description="port 502 where it names none")
    unit: int = Field(1, ge=0, le=255, description="the number of the device on its bus")
    framing: Framing = Field("tcp", description="rtu: RTU frames over TCP, for gateways that hand on the bytes")
    model: str | None = Field(None, description=f"one of {', '.join(models())}")
    power: Register | tuple[Register, ...] | None = Field(
        None, description=f"the register of the signed power: {_REGISTER}; or a list that is summed"
    )
    import_power: Register | None = Field(None, description="where import and export have a register each")
    export_power: Register | None = None
    phases: tuple[Register, ...] | None = Field(
        None, max_length=3, description="the registers of the phases; without power, their sum is the power"
    )
    import_energy: Register | None = Field(None, description="the counter; scale: 1000 where it counts kWh")
    export_energy: Register | None = None

    @model_validator(mode="before")
    @classmethod
    def _known_model(cls, given: Any) -> Any:
        if not isinstance(given, dict) or given.get("model") is None:
            return given
        known = models().get(str(given["model"]))
        if known is None:
            raise ValueError(f"model {given['model']!r} is not known: use one of {', '.join(sorted(models()))}")
        without = {PRODUCTS, *(POWERS if any(key in given for key in POWERS) else ())}
        return {**{key: part for key, part in known.items() if key not in without}, **given}

    @model_validator(mode="after")
    def _one_way(self) -> ModbusConfig:
        apart = (self.import_power is not None) + (self.export_power is not None)
        if apart == 1 or bool(self.power) + (apart == 2) > 1 or not (self.power or apart or self.phases):
            raise ValueError("give model, or power, or import_power and export_power together, or phases")
        return self

    @property
    def powers(self) -> tuple[Register, ...]:
        """The registers whose sum is the power."""
        if isinstance(self.power, Register):
            return (self.power,)
        return self.power or (() if self.import_power is not None else self.phases or ())

    def driver(self, access: Access) -> Meter:  # noqa: ARG002 - a connection of its own
        """The driver for this device."""
        return ModbusMeter(self)


class ModbusMeter:
    """Polls one device over a connection that stays."""

    def __init__(self, config: ModbusConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = f"modbus {config.model or 'meter'} at {config.host}"
        self.interval_s = config.interval_s
        self._config, self._clock = config, clock
        self._client = ModbusClient(config.host, config.timeout_s, framing=config.framing, who=self.name)
        apart = [one for one in (config.import_power, config.export_power) if one is not None]
        self._spans = spans((*config.powers, *apart, *(config.phases or ())))
        self._counted_s: float | None = None  # when the counters were read last
        self._import_wh: float | None = None
        self._export_wh: float | None = None

    async def run(self, emit: Emit) -> None:
        """Emit a reading every ``interval_s``."""
        try:
            await poll(self.read, self._config.interval_s, emit, longest_s=LONGEST_PAUSE_S)
        finally:
            self._client.close()

    async def read(self) -> Reading:
        """One reading now. Raises `DeviceError`."""
        started_s = self._clock()
        words = await self._words(self._spans)
        now_s, utc_s = self._clock(), time.time()
        try:
            power_w, phases = parse(words, self._config)
        except DeviceDataError as error:
            raise DeviceDataError(f"{self.name}: {error}") from None
        if self._counted_s is None or power_w == 0.0 or now_s - self._counted_s >= COUNTERS_S:
            self._counted_s = now_s
            self._import_wh = await self._energy(self._config.import_energy)
            self._export_wh = await self._energy(self._config.export_energy)
        import_wh, export_wh = self._import_wh, self._export_wh
        if power_w == 0.0 and import_wh == 0.0 and not export_wh:
            raise DeviceDataError(
                f"{self.name} shows 0 W and no energy at all: it has just started, or has no contact to its meter"
            )
        return Reading(power_w, now_s, utc_s, phases, import_wh, export_wh, latency_s=now_s - started_s)

    async def _words(self, wanted: tuple[Span, ...]) -> dict[tuple[int, int], int]:
        words: dict[tuple[int, int], int] = {}
        for span in wanted:
            found = await self._client.read(span.function, span.address, span.count, self._config.unit)
            words |= {(span.function, span.address + offset): word for offset, word in enumerate(found)}
        return words

    async def _energy(self, register: Register | None) -> float | None:
        """A counter in Wh; whatever keeps it from us is not worth the power that was read."""
        if register is None:
            return None
        try:
            energy_wh = value(await self._words(spans((register,))), register)
        except DeviceError:
            return None
        return energy_wh if energy_wh >= 0.0 else None


def parse(words: Words, config: ModbusConfig) -> tuple[float, tuple[Phase, ...]]:
    """The power in watts, and the phases. Raises `DeviceDataError` where a register holds no power."""
    phases = tuple(Phase(_phase(words, one)) for one in config.phases or ())
    if config.import_power is not None and config.export_power is not None:
        return _one_way(words, config.import_power) - _one_way(words, config.export_power), phases
    return sum(_power(words, register) for register in config.powers), phases


def _power(words: Words, register: Register) -> float:
    return watts(value(words, register), f"register {register.address}")


def _phase(words: Words, register: Register) -> float | None:
    """None: this phase is not connected. Where the phases are the power, their sum tells."""
    try:
        return _power(words, register)
    except DeviceDataError:
        return None


def _one_way(words: Words, register: Register) -> float:
    power_w = _power(words, register)
    if power_w < 0.0:
        raise DeviceDataError(
            f"register {register.address} is {power_w:g} W: import and export counted apart are never negative"
        )
    return power_w
