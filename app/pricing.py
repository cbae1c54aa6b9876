"""Everything about prices in one installation: the feed, what is shown of it, and who is told of a change of mode."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable

import aiohttp

from app.broker import Broker
from app.config import Config
from app.kept import Kept
from app.modehook import ModeHook
from app.model import Decision, Fault, Outlook, PriceState, Snapshot
from app.prices import Outside, PriceFeed
from app.prices.board import PriceBoard
from app.prices.feed import KeptPrices

FIRST_PRICE_S = 10.0  # so long nobody is told of the mode of an unknown price, after a start


class Pricing:
    """Without a `price` section there is no feed, and only overrides move the gate."""

    def __init__(self, config: Config, session: aiohttp.ClientSession, broker: Broker) -> None:
        self._board = PriceBoard()
        self._patience_until_s: float | None = None
        self.settled = False  # whether the mode is worth acting on: not while the first price is awaited
        self._feed: PriceFeed | None = None
        self._hook: ModeHook | None = None
        section = config.price
        if section is None:
            return
        kept = Kept(config.data_dir / "prices.json", KeptPrices, KeptPrices(), "prices")
        self._feed = PriceFeed(
            section.build(session, Outside(broker)),
            section.max_stale_s,
            kept if section.type != "mqtt" else None,  # there the broker keeps what is newer
            of=hashlib.sha256(repr(section).encode()).hexdigest(),
        )
        if section.on_change is not None and not config.control.dry_run:
            self._hook = ModeHook(section.on_change, config.site)

    @property
    def currency(self) -> str:
        """Of the prices; empty without any."""
        return self._feed.state().currency if self._feed is not None else ""

    def state(self) -> PriceState | None:
        """The price of now; None where no prices are configured."""
        return self._feed.state() if self._feed is not None else None

    def observe(self, snapshot: Snapshot, decision: Decision) -> Outlook:
        """Take in one turn of the loop; what there is to see around now."""
        price = snapshot.price
        if self._patience_until_s is None:
            self._patience_until_s = snapshot.now_s + FIRST_PRICE_S
        known = price is None or price.export_value_c is not None
        self.settled = known or snapshot.now_s >= self._patience_until_s
        if self._hook is not None and self.settled:
            self._hook.observe(decision.gate, price)
        slots = self._feed.around() if self._feed is not None else ()
        return self._board.observe(decision.gate, slots, snapshot.utc_s)

    def faults(self) -> tuple[Fault, ...]:
        """Who could not be told."""
        return self._hook.faults() if self._hook is not None else ()

    def edges(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """What is to run beside control, by name."""
        edges: dict[str, Callable[[], Awaitable[None]]] = {}
        if self._feed is not None:
            edges["price"] = self._feed.run
        if self._hook is not None:
            edges["mode hook"] = self._hook.run
        return edges
