"""Writes docs/meters.md from the drivers and presets: ``python -m app.meters.docs > docs/meters.md``."""

from __future__ import annotations

import sys
import typing
from collections.abc import Iterator
from typing import Any

from app.fields import BrokerConfig, Section
from app.meters import MeterConfig
from app.meters.base import About, MeterSection, PolledConfig
from app.meters.presets import presets, wanted

_HEAD = """\
# Meters

<!-- Written by `python -m app.meters.docs > docs/meters.md` from app/meters/: change the files there. -->

One meter, or a list whose values are summed. Positive power is import. What a meter does not tell, or tells in a way
that cannot be used, is an error that says what is wrong; it is never taken for 0 W. `zero-export doctor meter` reads
it once, and says how fast it is and which way round it counts; `zero-export discover` finds meters in your network.

Speed: how often a meter has something new is measured, and the controller adapts to it. The slower the meter, the
longer an export lasts after the load has dropped: one second is good, five are usable, and with more than ten the
house is held further away from the target. When no reading has come for three times as long as usual, the inverters
are set to what is safe. A meter that tells its power less often than every 15 s needs `interval_s`, if you want to wait
for it that long.
"""


def sections() -> tuple[type[MeterSection], ...]:
    """The configuration of every type, in the order of the union."""
    union = typing.get_args(MeterConfig)[0]
    found: tuple[type[MeterSection], ...] = typing.get_args(union) or (union,)
    return found


def markdown() -> str:
    """The whole page."""
    common = set(PolledConfig.model_fields)
    parts = [_HEAD, "## Keys of every meter\n", *_keys(PolledConfig, set()), ""]
    for section in sections():
        types = typing.get_args(section.model_fields["type"].annotation)
        parts += _product(types[0], section.about)
        parts += [*_keys(section, common | {"type"}), ""]
        for part in _parts(section):
            parts += [f"A {part.__name__.lower()}:\n", *_keys(part, set()), ""]
    parts += ["## Products with a preset\n", _PRESETS]
    for name, preset in sorted(presets().items()):
        about = About(**{key: str(preset.get(key, "")) for key in ("products", "example", "speed", "limits")})
        keys = ", ".join(f"`{key}` ({'needed' if at is None else f'`{at}`'})" for key, at in wanted(preset).items())
        parts += [*_product(name, about), f"Keys: {keys}.\n"]
    return "\n".join(parts).rstrip() + "\n"


_PRESETS = """\
An address, and sometimes one key more: all else is known. Any key of `http_json` may be given besides.
"""


def _product(name: str, about: About) -> Iterator[str]:
    yield f"### `{name}`\n"
    yield f"{about.products}. Speed: {about.speed}." + (f" Limits: {about.limits}." if about.limits else "") + "\n"
    yield "```yaml\nmeter:\n" + "\n".join(f"  {line}" for line in about.example.strip().splitlines()) + "\n```\n"


def _parts(section: type[Section]) -> list[type[Section]]:
    """What some of its keys consist of, but for a broker, which is the same everywhere."""
    found: dict[type[Section], None] = {}

    def search(annotation: Any) -> None:
        if isinstance(annotation, type) and issubclass(annotation, Section) and annotation is not BrokerConfig:
            found[annotation] = None
        for inner in typing.get_args(annotation):
            search(inner)

    for field in section.model_fields.values():
        search(field.annotation)
    return list(found)


def _keys(section: type[Section], without: set[str]) -> Iterator[str]:
    own = {name: field for name, field in section.model_fields.items() if name not in without}
    if not own:
        return
    yield "| key | default | meaning |\n|---|---|---|"
    for name, field in own.items():
        default = "needed" if field.is_required() else _shown(field.get_default(call_default_factory=True))
        yield f"| `{name}` | {default} | {field.description or ''} |"


def _shown(default: Any) -> str:
    return (
        "" if default in (None, "", (), {}) else f"`{str(default).lower() if isinstance(default, bool) else default}`"
    )


if __name__ == "__main__":
    sys.stdout.write(markdown())
