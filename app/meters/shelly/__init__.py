"""Shelly energy meters of all generations. The device says itself what it is (``GET /shelly``).

Gen1 (EM, 3EM) speaks HTTP: ``/status``, ``emeters[]``. From Gen2 on the same methods (``EM.GetStatus`` for three phases
as one meter, ``EM1``, ``PM1`` and ``Switch`` for channels on their own) are called over one WebSocket that stays open,
or over HTTP, where the device opens a connection for each.
"""

from app.meters.shelly.config import ShellyConfig
from app.meters.shelly.driver import Shelly

__all__ = ["Shelly", "ShellyConfig"]
