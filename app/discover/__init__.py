"""Looks for devices in the network, asks each what it is, and says what to put into config.yaml for it."""

from __future__ import annotations

from app.discover.search import Outcome, discover

__all__ = ["Outcome", "discover"]
