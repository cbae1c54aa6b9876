"""The table of faults is that of the code: what can be wrong is explained, and nothing that cannot."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "app").rglob("*.py"))
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "faults.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| `")
]


def keys(path: Path) -> set[str]:
    """Every key of a `model.Fault` that a file makes; what is filled in reads ``<name>``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "app.model"
        for alias in node.names
    }
    made = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Fault"
    ]
    return {_key(call, path) for call in made} if "Fault" in imported else set()


def _key(call: ast.Call, path: Path) -> str:
    given = call.args[0] if call.args else next(word.value for word in call.keywords if word.arg == "key")
    if isinstance(given, ast.JoinedStr):
        return "".join(str(p.value) if isinstance(p, ast.Constant) else f"<{_last(p)}>" for p in given.values)
    assert isinstance(given, ast.Constant), f"{path}:{call.lineno}: write the key where the fault is made"
    return str(given.value)


def _last(part: ast.expr) -> str:
    assert isinstance(part, ast.FormattedValue)
    return part.value.attr if isinstance(part.value, ast.Attribute) else ast.unparse(part.value)


def test_every_fault_that_the_code_makes_is_in_the_table_and_no_other() -> None:
    made = {key for path in MODULES for key in keys(path)}
    assert len(made) > 10
    assert made == {row[0].strip("`") for row in ROWS}


def test_every_row_says_what_it_is_what_is_done_and_what_to_do() -> None:
    assert len({row[0] for row in ROWS}) == len(ROWS)
    for row in ROWS:
        assert len(row) == 4, row[0]
        assert all(cell.endswith(".") and len(cell) > 15 for cell in row[1:]), row[0]


def test_keys_are_fit_for_labels_and_variables() -> None:
    for row in ROWS:
        assert re.fullmatch(r"[a-z_]+(:<\w+>)?", row[0].strip("`")), row[0]
