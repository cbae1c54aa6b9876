"""Settings that people changed survive a restart, and yield to a newer value in the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.model import Settings
from app.state import SettingsStore


def store(tmp_path: Path, **configured: float | bool) -> SettingsStore:
    return SettingsStore(tmp_path / "data" / "settings.json", Settings(**configured))  # type: ignore[arg-type]


def test_the_very_first_start_takes_the_configuration(tmp_path: Path) -> None:
    assert store(tmp_path, target_point_w=30.0).current == Settings(True, 30.0)


def test_a_change_survives_a_restart(tmp_path: Path) -> None:
    store(tmp_path).update(enabled=False, target_point_w=99.0, source="test")
    assert store(tmp_path).current == Settings(False, 99.0)


def test_a_newer_value_in_the_file_wins_for_that_key_alone(tmp_path: Path) -> None:
    store(tmp_path).update(enabled=False, target_point_w=99.0, source="test")
    assert store(tmp_path, target_point_w=40.0).current == Settings(False, 40.0)
    assert store(tmp_path, target_point_w=40.0).current == Settings(False, 40.0)


def test_listeners_hear_of_real_changes_only(tmp_path: Path) -> None:
    heard: list[tuple[Settings, str]] = []
    settings = store(tmp_path)
    settings.on_change(lambda changed, source: heard.append((changed, source)))
    settings.update(enabled=True, source="page")
    settings.update(enabled=False, source="page")
    assert heard == [(Settings(False, 15.0), "page")]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e9, -1e9])
def test_an_impossible_target_changes_nothing(tmp_path: Path, value: float) -> None:
    settings = store(tmp_path)
    with pytest.raises(ValueError, match="target_point_w"):
        settings.update(enabled=False, target_point_w=value, source="test")
    assert settings.current == Settings()


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"settings": 5}', '{"settings": {"enabled": "yes"}, "configured": {}}']
)
def test_a_damaged_file_is_no_reason_to_stop(tmp_path: Path, content: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "settings.json").write_text(content)
    assert store(tmp_path).current == Settings()


def test_the_signing_key_stays_and_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    key = store(tmp_path).signing_key
    assert store(tmp_path).signing_key == key
    assert len(key) == 32
    assert (tmp_path / "data" / "settings.json").stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_be_written_is_told_and_survived(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "data").write_text("a file, not a folder")
    settings = store(tmp_path)
    settings.update(enabled=False, source="test")
    assert settings.current.enabled is False
    assert "cannot save settings" in caplog.text
