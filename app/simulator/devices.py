"""The devices of the simulated house, served over their real protocols."""

from app.simulator.ahoydtu import FakeAhoyDtu
from app.simulator.opendtu import FakeOpenDtu
from app.simulator.shelly import FakeShelly
from app.simulator.shelly_bodies import Fault

__all__ = ["FakeAhoyDtu", "FakeOpenDtu", "FakeShelly", "Fault"]
