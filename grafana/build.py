"""Writes dashboards and alert rules: ``python grafana/build.py``; with ``--check`` it only says what has drifted."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import alerts
import energy
import envoy
import home
import inverters
from queries import Json

HERE = Path(__file__).parent


def files() -> dict[Path, str]:
    """Everything that is written, by where it goes."""
    documents = [home.build(), inverters.build(), energy.build(), envoy.build()]
    found = {HERE / "dashboards" / f"{document['uid']}.json": _json(document) for document in documents}
    return {**found, HERE / "provisioning" / "alerting" / "zero-export.yaml": alerts.text(documents)}


def main(arguments: Sequence[str]) -> int:
    """Write the files, or compare them. Returns the exit code."""
    check, drifted = "--check" in arguments, False
    for path, text in files().items():
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            drifted = True
            sys.stderr.write(f"{path} has drifted: run python grafana/build.py\n")
    return int(drifted)


def _json(document: Json) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
