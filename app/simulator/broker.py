"""An MQTT broker inside this process, so that the demo needs nothing installed."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from amqtt.broker import Broker
from amqtt.session import Session

HOST = "127.0.0.1"
GRACE_S = 10  # clients ping when their keep-alive has passed; without grace they would be cut off just then


class _Broker(Broker):
    """Replays to a new client what it subscribed to; amqtt would replay what anybody subscribed to."""

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Session
    ) -> None:
        subscribers = self._subscriptions.get(subscription[0], [])
        if any(subscriber is session for subscriber, _ in subscribers):
            await super()._publish_retained_messages_for_subscription(subscription, session)

    @property
    def port(self) -> int:
        """Where it listens."""
        server = self._servers["default"].instance
        return int(next(iter(server.sockets)).getsockname()[1])


@asynccontextmanager
async def embedded_broker(port: int = 0) -> AsyncIterator[int]:
    """Serve MQTT 3.1.1 on this machine only, and yield the port. Anybody may publish and subscribe."""
    for name in ("amqtt", "transitions"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    config = {
        "listeners": {"default": {"type": "tcp", "bind": f"{HOST}:{port}"}},
        "timeout_disconnect_delay": GRACE_S,
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }
    broker = _Broker(config)
    await broker.start()
    try:
        yield broker.port
    finally:
        await broker.shutdown()
