"""docs/meters.md is what the drivers say of themselves, and its examples are right."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

from app.meters import MeterConfig
from app.meters.docs import markdown, sections
from app.meters.presets import presets

EXAMPLES = {str(section.__name__): section.about.example for section in sections()}
EXAMPLES |= {name: preset["example"] for name, preset in presets().items()}


def test_the_page_is_up_to_date() -> None:
    page = Path(__file__).parent.parent.parent / "docs" / "meters.md"
    assert page.read_text(encoding="utf-8") == markdown(), "run: python -m app.meters.docs > docs/meters.md"


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_is_a_valid_section(name: str) -> None:
    TypeAdapter(MeterConfig).validate_python(yaml.safe_load(EXAMPLES[name]))
