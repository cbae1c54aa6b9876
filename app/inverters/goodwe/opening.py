"""Opens a GoodWe by hand, with nothing known of it but its address: for an emergency."""

from __future__ import annotations

from collections.abc import Sequence

from app.inverters.goodwe.config import GoodWeConfig
from app.inverters.goodwe.device import Device
from app.inverters.goodwe.profiles import Register
from app.inverters.goodwe.scale import FULL
from app.model import DeviceDataError


async def open_by_hand(config: GoodWeConfig, share_pct: float, *, rated: bool) -> str:
    """Write so much of the rated power into the registers of its limit; what they hold then, as a sentence.

    ``rated``: `max_watt` is known. Where it is not and the register counts watts, the limiter is switched off instead.
    Raises `DeviceError`.
    """
    scale, device = (
        config.scale,
        Device(Device.client({}, config.host, config.timeout_s), config.unit, config.known.layout),
    )
    wanted = {
        one.address: scale.holding(scale.steps(scale.rated_w * share_pct / FULL))[one.address] for one in scale.limits
    }
    registers: Sequence[Register] = scale.limits
    if scale.limits[0].unit == "w" and not rated:
        wanted, registers = {scale.profile.switch.address: 0}, (scale.profile.switch,)
    try:
        before = await device.held(tuple(registers))
        for one in registers:
            if before[one.address] != wanted[one.address]:
                await device.write(one, wanted[one.address])
        after = await device.held(tuple(registers))
    finally:
        device.close()
    shown = ", ".join(
        f"register {one.address} holds {after[one.address]} (was {before[one.address]})" for one in registers
    )
    if any(after[a] != value and not scale.unshown(a, after[a]) for a, value in wanted.items()):
        raise DeviceDataError(f"the GoodWe at {config.host} does not keep what is written: {shown}")
    return f"the GoodWe at {config.host}: {shown}"
