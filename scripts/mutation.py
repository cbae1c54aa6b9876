"""``python -m scripts.mutation``: does a test notice when the core is changed at random? Needs cosmic-ray.

Draws mutants of ``app/control`` evenly, tries each on a copy of the checkout and prints the share that a test killed, and
the mutants that survived. What cannot change anything is not drawn: annotations, ``is None`` for ``== None``, and
operators that no float has.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parent.parent
MODULE = "app/control"
TESTS = [f"tests/control/{name}.py" for name in ("test_lives", "test_plausibility", "test_failsafe", "test_polarity")]
TESTS += [f"tests/control/{name}.py" for name in ("test_policy", "test_steptest", "test_phases")]
MEANT = (
    "NumberReplacer", "AddNot", "ReplaceAndWithOr", "ReplaceOrWithAnd", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue",
    "ReplaceUnaryOperator_Delete", "ReplaceUnaryOperator_USub_UAdd", "ZeroIterationForLoop", "ReplaceContinueWithBreak",
    "ReplaceBreakWithContinue", "ReplaceComparisonOperator_Is_IsNot", "ReplaceComparisonOperator_IsNot_Is",
    "ReplaceBinaryOperator_Add_Sub", "ReplaceBinaryOperator_Sub_Add", "ReplaceBinaryOperator_Mul_Div",
    "ReplaceBinaryOperator_Div_Mul",
)  # fmt: skip
COMPARED = [f"ReplaceComparisonOperator_{one}_" for one in ("Lt", "Gt", "LtE", "GtE", "Eq", "NotEq")]


def meant(operator: str) -> bool:
    """Whether mutants of this operator are drawn."""
    name = operator.removeprefix("core/")
    return name.startswith(MEANT) or (name.startswith(tuple(COMPARED)) and not name.endswith(("_Is", "_IsNot")))


def main() -> int:
    """Draw, try and count."""
    parser = argparse.ArgumentParser(prog="python -m scripts.mutation", description=__doc__)
    parser.add_argument("--mutants", type=int, default=400, help="how many to try (default: 400)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--least", type=float, default=85.0, help="the share in percent that must be killed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        with ThreadPoolExecutor(options.jobs) as pool:
            parts = list(pool.map(lambda n: _try(Path(folder) / str(n), n, options), range(options.jobs)))
    killed = sum(part[0] for part in parts)
    survivors = [line for part in parts for line in part[1]]
    total = killed + len(survivors)
    share = 100.0 * killed / total
    sys.stdout.write("\n".join(sorted(survivors)) + f"\n{killed} of {total} mutants killed: {share:.1f} %\n")
    return int(share < options.least)


def _try(place: Path, number: int, options: argparse.Namespace) -> tuple[int, list[str]]:
    """Try every ``jobs``-th drawn mutant on a copy; how many were killed, and those that survived."""
    ignored = shutil.ignore_patterns(".git", ".venv", "data", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, place, ignore=ignored)
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:schemathesis", *TESTS]
    config = {
        "module-path": MODULE, "timeout": 120.0, "excluded-modules": [], "test-command": " ".join(command),
        "distributor": {"name": "local"},
    }  # fmt: skip
    (place / "mutation.toml").write_text(_toml(config), encoding="utf-8")
    _run(place, "init", "mutation.toml", "mutation.sqlite")
    with sqlite3.connect(place / "mutation.sqlite") as database:
        found = database.execute("SELECT job_id, operator_name, module_path, start_pos_row, start_pos_col, occurrence FROM mutation_specs")
        every = sorted((row for row in found if meant(row[1])), key=lambda row: row[1:])
        drawn = random.Random(options.seed).sample(every, min(options.mutants, len(every)))[number :: options.jobs]
        chosen = {row[0] for row in drawn}
        for table in ("mutation_specs", "work_items"):
            rows = [row for (row,) in database.execute(f"SELECT job_id FROM {table}") if row not in chosen]  # noqa: S608
            database.executemany(f"DELETE FROM {table} WHERE job_id = ?", [(row,) for row in rows])  # noqa: S608
    _run(place, "exec", "mutation.toml", "mutation.sqlite")
    return _outcome(place / "mutation.sqlite")


def _outcome(path: Path) -> tuple[int, list[str]]:
    query = (
        "SELECT module_path, start_pos_row, operator_name, test_outcome, diff FROM mutation_specs JOIN work_results "
        "USING (job_id)"
    )
    with sqlite3.connect(path) as database:
        rows = database.execute(query).fetchall()
    survivors = [f"{module}:{row}: {name.removeprefix('core/')}: {_change(diff)}" for module, row, name, outcome, diff in rows if outcome == "SURVIVED"]
    return len(rows) - len(survivors), survivors


def _change(diff: str | None) -> str:
    lines = [line[1:].strip() for line in (diff or "").splitlines() if line.startswith(("-", "+")) and line[1:2] not in "-+"]
    return "  =>  ".join(lines)


def _toml(values: dict[str, object]) -> str:
    distributor = values.pop("distributor")
    lines: Iterable[str] = (f"{key} = {json.dumps(value)}" for key, value in values.items())
    return "\n".join(["[cosmic-ray]", *lines, "[cosmic-ray.distributor]", f"name = {json.dumps(dict(distributor)['name'])}"])  # type: ignore[call-overload]


def _run(place: Path, *arguments: str) -> None:
    subprocess.run([Path(sys.executable).parent / "cosmic-ray", *arguments], cwd=place, check=True, capture_output=True)


if __name__ == "__main__":
    sys.exit(main())
