"""Modbus over TCP, and RTU frames over TCP as transparent gateways want them: the one place that knows pymodbus.

One request at a time, and a fresh connection after each that was not answered: an RTU answer does not say which
request it belongs to, so a late one must never meet the next request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal

from app.fields import host_and_port
from app.model import DeviceDataError, DeviceError, DeviceUnavailable

PORT = 502
Framing = Literal["tcp", "rtu"]
_REFUSALS: dict[int, tuple[type[DeviceError], str]] = {
    1: (DeviceDataError, "does not know function {function} (illegal function): try the other one, 3 or 4"),
    2: (DeviceDataError, "has no register {address} (illegal data address): check model, address and function"),
    3: (DeviceDataError, "does not give {count} registers from {address} (illegal data value)"),
    4: (DeviceDataError, "tells of a fault of its own (device failure)"),
    5: (DeviceUnavailable, "is still at work on the request (acknowledge)"),
    6: (DeviceUnavailable, "is busy: does something else ask it, too?"),
    8: (DeviceDataError, "tells of a fault of its memory (parity error)"),
    10: (DeviceUnavailable, "is a gateway that has no way to unit {unit} (gateway path unavailable)"),
    11: (
        DeviceUnavailable,
        "is a gateway that has no answer of unit {unit} (gateway target failed to respond): "
        "check unit, wires and baud rate",
    ),
}
_WRITE_REFUSALS = {
    1: (DeviceDataError, "does not know function {function} (illegal function): its registers cannot be written"),
    2: (DeviceDataError, "has no register {address} to write (illegal data address): check model and address"),
    3: (DeviceDataError, "does not take {values} in register {address} (illegal data value)"),
}


class ModbusClient:
    """A device or a gateway. It connects when it is asked; who asks decides how soon to try again.

    ``who`` begins every sentence of an error.
    """

    def __init__(self, host: str, timeout_s: float, *, framing: Framing = "tcp", who: str = "") -> None:
        self._host, self._port = host_and_port(host, PORT)
        self._who = who or f"the Modbus device at {host}"
        self._timeout_s, self._framing = timeout_s, framing
        self._client: Any = None
        self._under_way: asyncio.Future[Any] | None = None
        self._lock = asyncio.Lock()

    async def read(self, function: int, address: int, count: int, unit: int = 1) -> list[int]:
        """So many registers: holding ones (function 3) or input ones (4). Raises `DeviceError`."""

        def ask(client: Any) -> Awaitable[Any]:
            known = {3: client.read_holding_registers, 4: client.read_input_registers}[function]
            return known(address, count=count, device_id=unit)  # type: ignore[no-any-return]

        answer = await self._request(ask, lambda found: len(found.registers) == count, function, unit)
        if answer.isError():
            raise self._refusal(answer, _REFUSALS, function=function, address=address, count=count, unit=unit)
        return list(answer.registers)

    async def write(self, address: int, values: Sequence[int], unit: int = 1) -> None:
        """Write holding registers, one by function 6 and several by function 16. Raises `DeviceError`.

        After `DeviceUnavailable` nobody knows what they hold.
        """
        one = len(values) == 1

        def ask(client: Any) -> Awaitable[Any]:
            if one:
                return client.write_register(address, values[0], device_id=unit)  # type: ignore[no-any-return]
            return client.write_registers(address, list(values), device_id=unit)  # type: ignore[no-any-return]

        def fits(found: Any) -> bool:  # some answer a write with what the register holds then
            return bool(found.address == address and (one or found.count == len(values)))

        function = 6 if one else 16
        answer = await self._request(ask, fits, function, unit)
        if answer.isError():
            shown = ", ".join(map(str, values))
            known = _REFUSALS | _WRITE_REFUSALS
            raise self._refusal(answer, known, function=function, address=address, values=shown, unit=unit)

    def close(self) -> None:
        """Close the connection; the next request makes a new one."""
        if self._client is not None:
            self._client.close()
            self._client = None

    async def _request(
        self, ask: Callable[[Any], Awaitable[Any]], fits: Callable[[Any], bool], function: int, unit: int
    ) -> Any:
        """The answer to one request, or its refusal. Raises `DeviceUnavailable`."""
        async with self._lock:
            try:
                answer = await self._answer(ask, unit)
                if not answer.isError() and (answer.function_code != function or not fits(answer)):
                    raise DeviceUnavailable(f"{self._who} answers another request than this one")
            except BaseException:  # also when whoever asked has given up
                self.close()
                raise
        return answer

    def _refusal(self, answer: Any, known: dict[int, tuple[type[DeviceError], str]], **words: Any) -> DeviceError:
        """What a device says instead of an answer, as an error."""
        other = (DeviceDataError, f"refuses the request (Modbus exception {answer.exception_code})")
        kind, text = known.get(answer.exception_code, other)
        return kind(f"{self._who} {text.format(**words)}")

    async def _answer(self, ask: Callable[[Any], Awaitable[Any]], unit: int) -> Any:
        """What comes back for one request, whatever it is. Raises `DeviceUnavailable`."""
        client = await self._connected()
        self._under_way = task = asyncio.ensure_future(ask(client))
        try:
            await asyncio.wait({task}, timeout=2.0 * self._timeout_s)  # pymodbus has a time-out of its own
        finally:
            late = task.cancel()
        if not late and task.cancelled():
            raise DeviceUnavailable(f"{self._who} has closed the connection, with no answer")
        if late or isinstance(task.exception(), _failures()):
            raise DeviceUnavailable(
                f"{self._who} takes the connection and does not answer within {self._timeout_s:g} s: "
                f"check unit ({unit}) and framing ({self._framing})"
            )
        return task.result()

    def _changed(self, connected: bool) -> None:
        """Pymodbus would wait for an answer that can come no more."""
        if not connected and self._under_way is not None:
            self._under_way.cancel()

    async def _connected(self) -> Any:
        """The client, with its connection."""
        if self._client is not None and self._client.connected:
            return self._client
        try:
            from pymodbus import FramerType  # noqa: PLC0415 - needed by few
            from pymodbus.client import AsyncModbusTcpClient  # noqa: PLC0415
        except ImportError:
            raise DeviceUnavailable(f"{self._who} speaks Modbus, which needs pymodbus: pip install pymodbus") from None
        logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)  # all of it comes as an error, too
        self.close()
        framer = FramerType.RTU if self._framing == "rtu" else FramerType.SOCKET
        self._client = AsyncModbusTcpClient(
            self._host,
            port=self._port,
            framer=framer,
            timeout=self._timeout_s,
            retries=0,
            reconnect_delay=0,
            trace_connect=self._changed,
        )
        try:
            connected = await self._client.connect()
        except UnicodeError:  # a name that cannot be one
            connected = False
        if not connected:
            raise DeviceUnavailable(
                f"{self._who} cannot be reached: check the address and the port, and whether Modbus TCP is switched on"
            )
        return self._client


def _failures() -> tuple[type[Exception], ...]:
    """What pymodbus raises where no answer comes."""
    from pymodbus.exceptions import ModbusException  # noqa: PLC0415

    return (ModbusException, OSError)
