"""``python -m scripts.mutation``: how many random changes of the core a test notices.

Draws mutants of ``app/control``, tries each on a copy of the checkout and prints the share that a test killed, and
those that survived. What changes nothing is not drawn: annotations, ``== None`` for ``is None``. Needs cosmic-ray.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).parent.parent
FIRST = ("lives", "plausibility", "failsafe", "polarity", "policy", "phases", "steptest", "standby", "closed_loop")
PYTEST = f"{sys.executable} -m pytest -x -q -p no:cacheprovider -p no:schemathesis"
CONFIG = f"""[cosmic-ray]
module-path = "app/control"
timeout = 180.0
excluded-modules = []
test-command = "{PYTEST} {" ".join(f"tests/control/test_{name}.py" for name in FIRST)}"
[cosmic-ray.distributor]
name = "local"
"""
IDLE = ("ReplaceBinaryOperator_BitOr", "ReplaceComparisonOperator_Is_Eq", "ReplaceComparisonOperator_IsNot_NotEq")


def main() -> int:
    """Draw, try and count."""
    parser = argparse.ArgumentParser(prog="python -m scripts.mutation", description=__doc__)
    parser.add_argument("--mutants", type=int, default=400, help="how many to try (default: 400)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--least", type=float, default=85.0, help="the share in percent that must be killed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.jobs) as pool:
        parts = list(pool.map(lambda n: _try(Path(folder) / str(n), n, options), range(options.jobs)))
    killed = sum(part[0] for part in parts)
    survivors = [line for part in parts for line in part[1]]
    total = killed + len(survivors)
    share = 100.0 * killed / total
    sys.stdout.write("\n".join(sorted(survivors)) + f"\n{killed} of {total} mutants killed: {share:.1f} %\n")
    return int(share < options.least)


def _try(place: Path, number: int, options: argparse.Namespace) -> tuple[int, list[str]]:
    """Try every ``jobs``-th drawn mutant on a copy; how many were killed, and those that survived."""
    shutil.copytree(ROOT, place, ignore=shutil.ignore_patterns(".git", ".venv", "data", "__pycache__", ".*_cache"))
    (place / "mutation.toml").write_text(CONFIG, encoding="utf-8")
    _cosmic_ray(place, "init")
    with closing(sqlite3.connect(place / "mutation.sqlite")) as database, database:
        columns = "operator_name, module_path, start_pos_row, start_pos_col, occurrence, operator_args, job_id"
        rows = sorted(database.execute(f"SELECT {columns} FROM mutation_specs"))  # noqa: S608
        drawn = [row for row in rows if not row[0].startswith(tuple(f"core/{name}" for name in IDLE))]
        draw = random.Random(options.seed)  # noqa: S311 - no secret
        chosen = draw.sample(drawn, min(options.mutants, len(drawn)))[number :: options.jobs]
        others = {(row[-1],) for row in rows} - {(row[-1],) for row in chosen}
        database.executemany("DELETE FROM mutation_specs WHERE job_id = ?", others)
        database.executemany("DELETE FROM work_items WHERE job_id = ?", others)
    _cosmic_ray(place, "exec")
    return _outcome(place / "mutation.sqlite")


def _cosmic_ray(place: Path, what: str) -> None:
    program = str(Path(sys.executable).parent / "cosmic-ray")
    command = [program, what, "mutation.toml", "mutation.sqlite"]
    subprocess.run(command, cwd=place, check=True, capture_output=True)  # noqa: S603 - our own command


def _outcome(path: Path) -> tuple[int, list[str]]:
    columns = "module_path, start_pos_row, operator_name, test_outcome, diff"
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute(f"SELECT {columns} FROM mutation_specs JOIN work_results USING (job_id)").fetchall()  # noqa: S608
    survived = [
        f"{module}:{row}: {name.removeprefix('core/')}: {_change(diff)}"
        for module, row, name, outcome, diff in rows
        if outcome == "SURVIVED"
    ]
    return len(rows) - len(survived), survived


def _change(diff: str | None) -> str:
    lines = (diff or "").splitlines()
    return "  =>  ".join(line[1:].strip() for line in lines if line[:1] in "-+" and line[:3] not in ("---", "+++"))


if __name__ == "__main__":
    sys.exit(main())
