"""What is wrong with the spool, in plain words. Pure."""

from __future__ import annotations

import errno

from app.model import Fault

ALARM = 0.8


def spool_fault(
    folder: str, trouble: OSError | None, *, used_b: int, room_b: int, cap_b: int, dropped: int, just_lost: bool
) -> Fault | None:
    """The fault: ``trouble`` with the disk, or else a spool that is nearly full or has lost points."""
    told = None
    if trouble is not None:
        told = _trouble(folder, trouble)
    elif just_lost or used_b >= ALARM * room_b:
        told = _full(100.0 * used_b / max(1, room_b), small_disk=room_b < cap_b, dropped=dropped)
    return None if told is None else Fault("spool", *told)


def _trouble(folder: str, error: OSError) -> tuple[str, str]:
    waits = "points for InfluxDB wait in memory only"
    if isinstance(error, BlockingIOError):
        return f"Another program uses {folder}: {waits}.", "Stop the other one, or give each a data_dir of its own."
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"There is no room on the disk of {folder}: {waits}.", "Make room; it goes on by itself then."
    step = "Check that data_dir is there and writable, and that the disk is well."
    return f"{folder} cannot be written ({error.strerror}): {waits}.", step


def _full(used_pct: float, *, small_disk: bool, dropped: int) -> tuple[str, str]:
    small = ", because the disk has little free space" if small_disk else ""
    loss = f"; the oldest {dropped} points are lost" if dropped else ""
    text = f"The spool of points for InfluxDB is {used_pct:.0f} % full{small}{loss}."
    return text, "Bring InfluxDB back; until then the oldest points give way."
