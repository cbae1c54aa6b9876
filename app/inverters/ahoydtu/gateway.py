"""What has been heard of AhoyDTU itself."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from app.inverters.hoymiles.gateway import HeardGateway
from app.inverters.hoymiles.heard import Take

VALUES = {"uptime": "uptime_s", "wifi_rssi": "rssi_dbm", "cpu_temp": "temperature_c", "free_heap": "heap_free_b"}
STATUS_S = 60.0  # how often it tells of itself; at night nothing else comes


class Gateway(HeardGateway):
    """AhoyDTU by its messages."""

    silence_s, first_s = 2.5 * STATUS_S, 1.25 * STATUS_S

    def topics(self) -> Iterator[tuple[str, Take]]:
        """Every topic that says something, and who takes it in: False where it cannot be used."""
        yield "mqtt", partial(self.take_online, (b"connected", b"not connected"))
        for key, name in VALUES.items():
            yield key, partial(self.take_value, name)
