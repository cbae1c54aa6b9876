"""The inverters that can be simulated, as OpenDTU knows them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class RadioBand(StrEnum):
    """OpenDTU has two radios, which work side by side: HM models use the first, HMS and HMT the second."""

    NRF = "nrf"
    CMT = "cmt"


@dataclass(frozen=True, slots=True)
class Model:
    """A type of inverter. ``part`` is its hardware part number, from which OpenDTU knows the rated power.

    ``pdl``: newer firmware limits the sum; older splits the limit equally over the trackers (``mppts``).
    """

    name: str
    rated_w: float
    channels: int
    mppts: int
    band: RadioBand
    serial_prefix: str
    part: int
    firmware: int = 10020
    pdl: bool = False


_NRF, _CMT = RadioBand.NRF, RadioBand.CMT

# Serial prefixes, trackers, rated powers and part numbers: OpenDTU's device tables.
MODELS = {
    model.name: model
    for model in (
        Model("HM-300-1T", 300, 1, 1, _NRF, "1121", 0x10101010),
        Model("HM-400-1T", 400, 1, 1, _NRF, "1121", 0x10104010),
        Model("HM-600-2T", 600, 2, 2, _NRF, "1141", 0x10111010),
        Model("HM-800-2T", 800, 2, 2, _NRF, "1141", 0x10113010),
        Model("HM-1200-4T", 1200, 4, 2, _NRF, "1161", 0x10121010),
        Model("HM-1500-4T", 1500, 4, 2, _NRF, "1161", 0x10123010),
        Model("HMS-500-1T", 500, 1, 1, _CMT, "1124", 0x10107110),
        Model("HMS-800-2T", 800, 2, 2, _CMT, "1144", 0x10214110),
        Model("HMS-1600-4T", 1600, 4, 4, _CMT, "1164", 0x10224110, 10112, pdl=True),
        Model("HMS-2000-4T", 2000, 4, 4, _CMT, "1164", 0x10227110, 10108),
        Model("HMT-2250-6T", 2250, 6, 3, _CMT, "1382", 0x10333110),
    )
}
