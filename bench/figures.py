"""A figure: what was measured, what the project asks of it, and how anybody repeats it."""

from __future__ import annotations

import json
import operator
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

_OPERATORS = {"<=": operator.le, "<": operator.lt, ">=": operator.ge}


@dataclass(frozen=True)
class Figure:
    """`must` and `aim` are compared with `value` by `op`; None where none is asked for."""

    figure: str
    value: float
    unit: str
    op: str
    must: float | None
    aim: float | None
    commands: tuple[str, ...]

    def holds(self, requested: float | None) -> bool | None:
        return None if requested is None else bool(_OPERATORS[self.op](self.value, requested))


def save(path: Path, figures: Iterable[Figure]) -> None:
    """Write them; figures that were measured before and not this time stay."""
    before = json.loads(path.read_text(encoding="utf8")) if path.exists() else []
    merged = {each["figure"]: each for each in before}
    merged |= {each.figure: asdict(each) | {"value": _rounded(each.value)} for each in figures}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(list(merged.values()), indent=1, ensure_ascii=False) + "\n", encoding="utf8")


def table(figures: Sequence[Figure]) -> str:
    """For people; ends in a line break."""
    rows = [("figure", "value", "must", "aim", "")]
    rows += [
        (
            each.figure,
            f"{_rounded(each.value):g} {each.unit}".strip(),
            _wanted(each, each.must),
            _wanted(each, each.aim),
            _verdict(each),
        )
        for each in figures
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _wanted(figure: Figure, value: float | None) -> str:
    return "" if value is None else f"{figure.op} {value:g}"


def _verdict(figure: Figure) -> str:
    if figure.holds(figure.must) is False:
        return "short of it"
    words = {True: "aim reached", False: "aim missed" if figure.must is None else "ok", None: ""}
    return words[figure.holds(figure.aim)] or ("ok" if figure.must is not None else "")


def _rounded(value: float) -> float:
    """Three significant digits, all digits of whole numbers."""
    return round(value) if value == int(value) or value >= 1000 else float(f"{value:.3g}")
