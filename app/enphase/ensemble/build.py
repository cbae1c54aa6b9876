"""The parts of the ensemble of one installation, put together."""

from __future__ import annotations

from app.access import Access
from app.config import Config
from app.enphase.ensemble.client import EnsembleClient
from app.enphase.ensemble.desk import FILE, Desk
from app.enphase.ensemble.driver import Ensemble
from app.enphase.ensemble.journal import JournalFile
from app.enphase.gateway import Gateway


def build(config: Config, access: Access) -> Ensemble | None:
    """What the controller runs; None where no `enphase.ensemble` is configured."""
    section = config.enphase
    if section is None or section.ensemble is None:
        return None
    client = EnsembleClient(Gateway.of(access, section))
    journal = JournalFile(access.data_dir / FILE)
    desk = Desk(client, journal, section.ensemble)
    return Ensemble(desk, journal, section.ensemble, client.name, dry_run=config.control.dry_run, closing=client.close)
