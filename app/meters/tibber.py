"""The bridge of a Tibber Pulse IR, asked in the house: it hands out the last telegram that came from the meter.

Whatever it calls the content, it is what the meter's infrared eye sends: SML, or the text of D0. Some of it arrives
broken by the radio between the two.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Literal

import aiohttp
from pydantic import Field, StringConstraints, field_validator

from app.access import Access
from app.documents import get_body
from app.endpoint import basic_login
from app.fields import Host
from app.meters.base import About, Emit, Meter, PolledConfig, poll
from app.meters.freshness import DeviceTime
from app.meters.obis import Grid, Telegram, grid, negative, signed_power, text_telegrams
from app.model import DeviceDataError, DeviceError, DeviceUnavailable, Reading
from app.outbound import place
from app.redact import Redactor, secrets_of

SHORTEST_S = 2.0  # the web server of the bridge breaks down when it is asked more often
LONGEST_PAUSE_S = 15.0
PATIENCE_S = 10.0  # without a whole telegram, until it is told: a few of them are lost on the way as a rule
REPEATED_S = 15.0  # the same telegram, until it is told that the bridge has no newer one
Number = Annotated[str, StringConstraints(pattern=r"^\d{1,3}\.\d{1,3}\.\d{1,3}$")]
SML = b"\x1b\x1b\x1b\x1b"


class TibberConfig(PolledConfig):
    """A bridge and the meter behind it."""

    about = About(
        products="Tibber Pulse IR with its bridge, asked in your network; the contract does not matter",
        example='type: tibber\nhost: 192.168.1.20\npassword: "AD56-54BA"',
        speed="2 to 4 s, as the meter sends",
        limits=(
            "the web server of the bridge has to be switched on for good (webserver_force_enable); the password is the "
            "code on the bridge; the meter has to show its full data set (PIN, INF on)"
        ),
    )

    type: Literal["tibber"]
    host: Host
    node_id: int = Field(1, ge=0, le=65535, description="which Pulse, where the bridge has several")
    username: str = "admin"
    password: str = Field(repr=False, description="the code that stands on the bridge")
    interval_s: float = Field(2.0, le=60, description="seconds between two requests; no less than 2")
    timeout_s: float = Field(2.0, gt=0, le=10, description="give up on one request after this many seconds")
    power_registers: tuple[Number, ...] = Field(
        (), max_length=6, description="OBIS numbers that are summed, where the meter shows no 16.7.0: [1.7.0]"
    )
    dzg_fix: bool = Field(
        False, description="true for meters of DZG that show an import between 328 and 655 W as an export"
    )

    @field_validator("interval_s")
    @classmethod
    def _not_too_often(cls, value: float) -> float:
        if value < SHORTEST_S:
            raise ValueError(f"the bridge must not be asked more often than every {SHORTEST_S:g} s")
        return value

    @field_validator("power_registers")
    @classmethod
    def _with_sign(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "15.7.0" in value:
            raise ValueError("15.7.0 is the same for import and export")
        return value

    def driver(self, access: Access) -> Meter:
        """The driver for this bridge."""
        return TibberBridge(self, access.session)


class TibberBridge:
    """Polls one bridge."""

    def __init__(
        self, config: TibberConfig, session: aiohttp.ClientSession, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = f"http://{config.host}/data.json?node_id={config.node_id}"
        self.name = f"tibber pulse at {config.host}"
        self.interval_s = config.interval_s
        self._config, self._session, self._clock = config, session, clock
        self._public = Redactor(secrets_of(config))
        self._headers = {"Authorization": basic_login(config.username, config.password)}
        self._time = DeviceTime()
        self._signed: set[str] = set()
        self._whole_s: float | None = None  # when the last whole telegram came, or the first request began
        self._body, self._changed_s = b"", 0.0  # the last body, and since when it is the same

    async def run(self, emit: Emit) -> None:
        """Emit what is new."""
        await poll(self.read, self._config.interval_s, emit, longest_s=LONGEST_PAUSE_S)

    async def read(self) -> Reading | None:
        """One reading now; None: the meter has sent nothing new. Raises `DeviceError`."""
        started_s = self._clock()
        try:
            body = await get_body(
                self._session, self._url, self._config.timeout_s, headers=self._headers, login="the code of the bridge"
            )
            return self._take(body, started_s)
        except DeviceError as error:  # it may quote what the bridge says, and the bridge knows our login
            error.args = (self._public(str(error)),)
            raise

    def _take(self, body: bytes, started_s: float) -> Reading | None:
        now_s = self._clock()
        try:
            telegram = last_telegram(body, dzg_fix=self._config.dzg_fix)
            if telegram is None:
                self._broken(now_s)
                return None
            self._whole_s = now_s
            self._signed |= negative(telegram)
            found = parse(telegram, self._signed, self._config.power_registers)
            at_s = self._moment(telegram, body, now_s)
        except DeviceDataError as error:
            raise DeviceDataError(f"{place(self._url)}: {error}") from None
        if at_s is None:
            return None
        utc_s = time.time() - (now_s - at_s)
        latency_s = now_s - started_s
        return Reading(found.power_w, at_s, utc_s, found.phases, found.import_wh, found.export_wh, latency_s)

    def _broken(self, now_s: float) -> None:
        """Nothing is said at first; the last reading grows old by itself."""
        if self._whole_s is None:
            self._whole_s = now_s
        if now_s - self._whole_s >= PATIENCE_S:
            raise DeviceDataError(
                f"no whole telegram for {now_s - self._whole_s:.0f} s, only pieces or wrong checksums: look whether "
                "the Pulse sits well on the meter, is near enough to the bridge, and has charged batteries"
            )

    def _moment(self, telegram: Telegram, body: bytes, now_s: float) -> float | None:
        """When the values were there; None: they are no new ones."""
        repeated = body == self._body
        if not repeated:
            self._body, self._changed_s = body, now_s
        if telegram.stamp_s is not None:
            return self._time.moment(telegram.stamp_s, now_s)
        if not repeated:
            return now_s
        if now_s - self._changed_s > REPEATED_S:
            raise DeviceDataError(f"the same telegram for {now_s - self._changed_s:.0f} s: it is an old one")
        return None


def last_telegram(body: bytes, *, dzg_fix: bool = False) -> Telegram | None:
    """The last whole telegram of a body; None: there is none. Raises `DeviceDataError` for what is another document."""
    if body.lstrip()[:1] in (b"<", b"{", b"["):
        raise DeviceDataError("it answers with a web page or JSON instead of a telegram: is this the bridge?")
    if SML not in body:
        telegrams = text_telegrams(body)
    else:
        try:
            from app.meters import sml  # noqa: PLC0415 - needed by few
        except ImportError:
            raise DeviceUnavailable("the meter speaks SML, which needs smllib: pip install smllib") from None
        telegrams = list(sml.decode(body, dzg_fix=dzg_fix).telegrams)
    return telegrams[-1] if telegrams else None


def parse(telegram: Telegram, signed: set[str], wanted: tuple[str, ...] = ()) -> Grid:
    """What a telegram says of the grid. Raises `DeviceDataError` with what to do where it says nothing."""
    return grid(telegram, signed_power(telegram, signed, wanted))
