"""Rated AC powers by hardware part number, as Hoymiles inverters tell it. Source: OpenDTU's device tables."""

from __future__ import annotations

_RATED_W = {  # by the first three of the four bytes
    0x101010: 300, 0x101020: 350, 0x101030: 400, 0x101040: 400,  # HM, one input
    0x101110: 600, 0x101120: 700, 0x101130: 800, 0x101140: 800,  # HM, two
    0x101210: 1200, 0x101230: 1500, 0x100230: 1500,  # HM and MI, four
    0x102011: 300, 0x102021: 350, 0x102041: 400, 0x101051: 450, 0x102051: 450, 0x101071: 500, 0x102071: 500,  # HMS, one
    0x102111: 600, 0x102121: 700, 0x102141: 800, 0x101141: 800, 0x101151: 900, 0x102151: 900,  # HMS, two
    0x102171: 1000, 0x101171: 1000,
    0x102241: 1600, 0x101251: 1800, 0x102251: 1800, 0x101271: 2000, 0x102271: 2000,  # HMS, four
    0x103241: 1600, 0x103251: 1800, 0x103271: 2000, 0x103311: 1800, 0x103331: 2250,  # HMT
    0xF10110: 600, 0xF10114: 800, 0xF10124: 1600, 0xF10122: 1800,  # HERF
}  # fmt: skip


def rated_w(part: int) -> float | None:
    """The rated power of a hardware part number; None where it is not known."""
    watts = _RATED_W.get((part & 0xFFFFFFFF) >> 8)
    return None if watts is None else float(watts)
