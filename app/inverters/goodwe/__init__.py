"""GoodWe inverters over Modbus TCP.

GoodWe publishes no meaning of the registers that limit an inverter: what is known of each stands beside it in
`profiles`. What is written may go to a memory that wears out, so that writes are counted (`budget`).
"""

from app.inverters.goodwe.config import GoodWeConfig
from app.inverters.goodwe.driver import GoodWe

__all__ = ["GoodWe", "GoodWeConfig"]
