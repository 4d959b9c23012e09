"""docs/faults.md names a test for each fault; each is there, and each test of this folder is named."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def names_in(path: Path) -> set[str]:
    """The test functions of a file, without importing it."""
    found = ast.walk(ast.parse(path.read_text()))
    return {node.name for node in found if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def rows() -> list[str]:
    """The rows of the page's tables of faults."""
    lines = (ROOT / "docs" / "faults.md").read_text().splitlines()
    return [line for line in lines if line.startswith("| ") and line.count(" | ") == 3 and "| test |" not in line]


def test_each_row_names_a_test_that_exists() -> None:
    assert len(rows()) > 60
    for row in rows():
        named = _NAMED.findall(row)
        assert len(named) == 1, row
        for path, name in named:
            assert name in names_in(ROOT / path), f"{path} has no {name}"


def test_each_test_of_this_folder_is_on_the_page() -> None:
    named = {f"{path}::{name}" for row in rows() for path, name in _NAMED.findall(row)}
    own = Path(__file__).parent
    there = {
        f"tests/faults/{path.name}::{name}"
        for path in own.glob("test_*.py")
        if path.name != Path(__file__).name
        for name in names_in(path)
    }
    assert there - named == set()
