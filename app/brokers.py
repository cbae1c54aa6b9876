"""The MQTT connections of one program: one that is there already, and one for each other broker that a device names."""

from __future__ import annotations

from app.broker import Address, Broker
from app.fields import BrokerConfig


class Brokers:
    """Hands out connections: ``own``, or new ones, whose client ids begin with ``name``.

    ``default``: the broker of a device that names none.
    """

    def __init__(self, own: Broker, default: BrokerConfig, name: str) -> None:
        self._own, self._default, self._name = own, default, name
        self.own_used = False  # somebody needs the one that is there
        self._others: dict[Address, Broker] = {}

    def at(self, config: BrokerConfig | None) -> Broker:
        """The connection to a broker."""
        address = Address.of(config or self._default)
        if address == self._own.address:
            self.own_used = True
            return self._own
        return self._others.setdefault(address, Broker(address, f"{self._name}-{len(self._others) + 1}"))

    @property
    def others(self) -> tuple[Broker, ...]:
        """Those that were made; somebody has to run them."""
        return tuple(self._others.values())
