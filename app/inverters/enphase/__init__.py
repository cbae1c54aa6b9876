"""An Enphase system: its gateway holds all microinverters to a rule by itself, within minutes."""

from app.inverters.enphase.config import EnphaseInverterConfig
from app.inverters.enphase.driver import Enphase

__all__ = ["Enphase", "EnphaseInverterConfig"]
