"""The pure core: time and inputs are arguments, decisions are values. No clock, no I/O, no asyncio."""

from app.control.controller import Controller
from app.control.gate import PriceRules
from app.control.settings import EXPORT_WEIGHTS, ControlSettings

__all__ = ["EXPORT_WEIGHTS", "ControlSettings", "Controller", "PriceRules"]
