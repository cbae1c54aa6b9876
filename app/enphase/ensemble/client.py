"""The one door to pyenphase: reads everything, writes one thing, and lets nothing but `DeviceError` out.

pyenphase is made for Home Assistant's patience. Here its requests are short and few, and it talks through a session of
ours: with the certificate of the first contact, no redirects, small bodies, one socket, and the turns of the gateway.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import aiohttp

from app.enphase.ensemble.actions import (
    AcbSleep,
    AcbWake,
    Automatic,
    ChargeFromGrid,
    DryContactSet,
    DryContactSwitch,
    Grid,
    Reserve,
    StorageMode,
)
from app.enphase.ensemble.states import state_of
from app.model import DeviceAuthError, DeviceDataError, DeviceError, DeviceUnavailable, EnsembleState
from app.outbound import cause

if TYPE_CHECKING:
    from pyenphase import Envoy

    from app.enphase.gateway import Gateway

READ_S = 90.0  # for all documents of one look; /production.json alone may take 10 s
WRITE_S = 40.0
TURN_S = 20.0
REQUEST = aiohttp.ClientTimeout(total=25.0, connect=8.0)
IDLE_S = 540.0  # a session at the gateway ends after 10 minutes
MAX_BODY_BYTES = 1_000_000  # inventories and tariffs are some kB
LONGEST_S = 3600.0  # after that it is asked again what it has
FIRST = "/ivp/meters"
INVENTORY, TARIFF = "/ivp/ensemble/inventory", "/admin/lib/tariff"
CONTACTS = "/ivp/ss/dry_contact_settings"
CONTACT_FIELDS = {"soc_low_pct": "soc_low", "soc_high_pct": "soc_high"}  # ours and pyenphase's


class EnsembleClient:
    """One gateway. Its calls must not overlap: pyenphase keeps what it read last for the next write."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._session: aiohttp.ClientSession | None = None
        self._envoy: Envoy | None = None
        self._token = ""
        self._used_s = self._met_s = 0.0  # monotonic: asked last, and asked what it has

    @property
    def name(self) -> str:
        """As people know the gateway."""
        return self._gateway.name

    async def read(self, now_s: float) -> EnsembleState:
        """Everything as it is now. Raises `DeviceError`."""
        with self._told(READ_S):
            async with asyncio.timeout(READ_S):
                envoy = await self._connected()
                data = await envoy.update()
                state = state_of(data, self.name, now_s)
            if not {INVENTORY, TARIFF} <= set(data.raw):
                self._met_s = float("-inf")  # it may have been starting: the next look asks it again what it has
            return state

    async def send(self, action: Automatic | Grid) -> None:
        """Write one thing, on what was read just before. Raises `DeviceError`; it may be done all the same."""
        with self._told(WRITE_S):
            if self._envoy is None:
                raise DeviceDataError(f"{self.name} was not read yet, so nothing can be written")
            async with asyncio.timeout(WRITE_S):
                await _send(self._envoy, action)

    async def close(self) -> None:
        """Close the sockets."""
        self._envoy, session, self._session = None, self._session, None
        if session is not None:
            await session.close()

    async def _connected(self) -> Envoy:
        about = await self._gateway.about()
        if self._envoy is None:
            with suppress(DeviceDataError):  # it answers, and that is enough
                await self._gateway.get_json(FIRST)  # an outage in our own words, and a new token where one is needed
        token = await self._gateway.token() if about.wants_token else ""
        now_s = time.monotonic()
        old = now_s - self._used_s > IDLE_S or now_s - self._met_s > LONGEST_S
        self._used_s = now_s
        if self._envoy is not None and token == self._token and not old:
            return self._envoy
        await self.close()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=await self._gateway.ssl(), limit=1),
            cookie_jar=aiohttp.CookieJar(
                unsafe=True
            ),  # for the session that goes with the token; no other host is asked
            headers={"Accept-Encoding": "identity"},
            auto_decompress=False,
            response_class=_SmallResponse,
            middlewares=(self._in_turn, _staying),
        )
        envoy: Envoy = _library().Envoy(self._gateway.host, self._session, REQUEST)
        envoy.set_retry_policy(max_attempts=2, max_delay=20)
        await envoy.setup()
        if token:
            await envoy.authenticate(token=token)
        else:
            login = self._gateway.login
            await envoy.authenticate(username=login.username, password=login.password)
        self._envoy, self._token, self._met_s = envoy, token, now_s
        return envoy

    async def _in_turn(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Not beside whatever else the gateway is asked: it has few sockets, for everybody."""
        async with self._gateway.turn(TURN_S):
            return await handler(request)

    @contextmanager
    def _told(self, timeout_s: float) -> Iterator[None]:
        """Whatever goes wrong in there, as a `DeviceError`; after that, it begins anew with the next look."""
        try:
            yield
        except DeviceError:
            self._envoy = None
            raise
        except TimeoutError:
            self._envoy = None
            raise DeviceUnavailable(f"{self.name} does not answer within {timeout_s:g} s") from None
        except Exception as error:
            self._envoy = None
            raise self._translated(error) from None

    def _translated(self, error: Exception) -> DeviceError:
        errors = _library()
        reason = error
        while reason.__cause__ is not None and isinstance(reason.__cause__, Exception):
            reason = reason.__cause__
        match reason:
            case aiohttp.ServerFingerprintMismatch():
                return DeviceAuthError(f"{self.name} shows another certificate than at the first contact")
            case TimeoutError():
                return DeviceUnavailable(f"{self.name} does not answer in time")
            case aiohttp.ClientError() | OSError():
                return DeviceUnavailable(f"cannot reach {self.name}: {cause(reason)}")
            case errors.EnvoyAuthenticationRequired() | errors.EnvoyAuthenticationError():
                return DeviceAuthError(
                    f"{self.name} refuses the login: check the login of the enphase section; relays and storage need "
                    "the system's owner or installer"
                )
            case errors.EnvoyFeatureNotAvailable():
                return DeviceDataError(f"{self.name} has no device for this")
            case errors.EnvoyHTTPStatusError():
                return DeviceDataError(f"{self.name} answers HTTP {reason.status_code}")
            case errors.EnvoyFirmwareCheckError() | errors.EnvoyFirmwareFatalCheckError():
                return DeviceUnavailable(f"{self.name} does not tell its firmware: HTTP {reason.status_code}")
            case errors.EnvoyError() | ValueError():
                return DeviceDataError(self._quoted(str(reason) or type(reason).__name__))
        return DeviceDataError(self._quoted(f"tells what cannot be read ({type(reason).__name__}: {reason})"))

    def _quoted(self, said: str) -> str:
        """What may hold whatever the gateway repeats: without our secrets, and only then made short."""
        return self._gateway.shown(said)[:250]


class _SmallResponse(aiohttp.ClientResponse):
    """An answer that is read up to a size, since pyenphase reads whatever comes."""

    async def read(self) -> bytes:
        """The whole body. Raises aiohttp.ClientPayloadError where it has no end."""
        if self._body is None:
            body = bytearray()
            async for chunk in self.content.iter_any():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    self.close()
                    raise aiohttp.ClientPayloadError(f"more than {MAX_BODY_BYTES} bytes")
            self._body = bytes(body)
        return self._body


async def _staying(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """No answer leads elsewhere: the login is for this host alone."""
    response = await handler(request)
    if response.status in (301, 302, 303, 307, 308) and "Location" in response.headers:
        response.close()
        raise aiohttp.ClientResponseError(response.request_info, (), status=response.status)
    return response


def _library() -> Any:
    """pyenphase, loaded where a gateway is asked for the first time; of its documents only those that are used."""
    import pyenphase  # noqa: PLC0415 - the most programs need none of it
    from pyenphase.envoy import get_updaters  # noqa: PLC0415

    logging.getLogger("pyenphase").setLevel(logging.CRITICAL)  # what is wrong is told once, and by us
    kept = {"EnvoyProductionJsonUpdater", "EnvoyApiV1ProductionUpdater", "EnvoyProductionJsonFallbackUpdater"}
    kept |= {"EnvoyEnembleUpdater", "EnvoyInventoryUpdater", "EnvoyTariffUpdater"}
    updaters = get_updaters()
    for updater in [one for one in updaters if one.__name__ not in kept]:
        with suppress(ValueError):
            updaters.remove(updater)
    return pyenphase


def _whole(envoy: Envoy, id_: str) -> None:
    """Raises `DeviceDataError` where pyenphase would leave out a setting that the gateway has told."""
    if envoy.data is None or id_ not in envoy.data.dry_contact_settings:
        raise DeviceDataError(f"the settings of dry contact {id_} could not be read, so they cannot be sent whole")
    sent = envoy.data.dry_contact_settings[id_].to_api()
    for told in envoy.data.raw[CONTACTS]["dry_contacts"]:
        missing = sorted(set(told) - set(sent)) if told["id"] == id_ else []
        if missing:
            raise DeviceDataError(
                f"dry contact {id_} has settings that are not known here ({', '.join(missing)[:80]}); an incomplete "
                "set may crash the gateway, so nothing is sent: change it in the Enphase app"
            )


async def _send(envoy: Envoy, action: Automatic | Grid) -> None:
    match action:
        case StorageMode():
            from pyenphase.models.tariff import EnvoyStorageMode  # noqa: PLC0415

            await envoy.set_storage_mode(EnvoyStorageMode(action.mode), action.disable_optimized_schedules)
        case Reserve():
            await envoy.set_reserve_soc(action.soc_pct)
        case ChargeFromGrid():
            await (envoy.enable_charge_from_grid() if action.on else envoy.disable_charge_from_grid())
        case DryContactSwitch():
            await (envoy.open_dry_contact if action.state == "open" else envoy.close_dry_contact)(action.id)
        case DryContactSet():
            _whole(envoy, action.id)
            changes = {CONTACT_FIELDS.get(key, key): value for key, value in action.settings.given.items()}
            await envoy.update_dry_contact({"id": action.id} | changes)
        case AcbSleep():
            asleep = {"sleep_min_soc": action.min_soc_pct, "sleep_max_soc": action.max_soc_pct}
            await envoy.set_acb_sleep([{"serial_num": action.serial} | asleep])
        case AcbWake():
            await envoy.clear_acb_sleep([action.serial])
        case Grid():
            await (envoy.go_on_grid() if action.state == "on" else envoy.go_off_grid())
