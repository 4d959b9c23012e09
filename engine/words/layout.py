"""How a table is laid out as text: aligned, and on a narrow terminal wrapped in its columns, so that no number is lost."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.words.wording import one_line, width

Row = tuple[str, ...]

_LEAST = 4  # columns of a column, however narrow the terminal
_UNDER = 3  # a last column that gets less than this part of what it needs goes below its row
_WORD = re.compile(r"\S{0,16}\s+|\S{6,16}[/,;-]|\S{1,17}")
_RED, _GREEN, _BOLD = "\x1b[31m{}\x1b[0m", "\x1b[32m{}\x1b[0m", "\x1b[1m{}\x1b[0m"
_COLOURS = dict.fromkeys(("proven", "passed", "equal", "in time"), _GREEN) | dict.fromkeys(
    ("failed", "FAILED", "OVERDUE"), _RED
)
COLOURED = ("state", "verdict", "result")
"""Headers of columns that say how something is."""


@dataclass(frozen=True, slots=True)
class Screen:
    """Where the text goes: a terminal of so many `columns` (0: a file, as wide as it wants), with colours or without."""

    columns: int = 0
    colours: bool = False

    def bold(self, text: str) -> str:
        return _BOLD.format(text) if self.colours else text

    def padded(self, cell: str, wide: int, to_the_right: bool, names: str = "") -> str:
        """A cell as wide as its column, in the colour of what it `names` of how something is."""
        space = " " * (wide - width(cell))
        colour = _COLOURS.get(names.partition(",")[0]) if self.colours and cell else None
        shown = colour.format(cell) if colour else cell
        return space + shown if to_the_right else shown + space


FILE = Screen()


def aligned(rows: Sequence[Row], right: Sequence[int], screen: Screen, indent: int = 0) -> Iterator[str]:
    """The lines of rows whose columns are equally wide; `right`: the columns whose cells stand on the right. The first
    row is the header, where there is one.

    Column by column, since a list may have 100,000 rows.
    """
    columns = [_shown(cells) for cells in zip(*rows, strict=True)]
    natural = [max(map(width, cells)) for cells in columns]
    if screen.columns and sum(natural) + 2 * (len(natural) - 1) > screen.columns - indent:
        yield from _wrapped(columns, natural, frozenset(right), screen, screen.columns - indent)
        return
    padded = [
        [screen.padded(cell, wide, number in right, cell if cells[0] in COLOURED else "") for cell in cells]
        for number, (cells, wide) in enumerate(zip(columns, natural, strict=True))
    ]
    yield from ("  ".join(cells).rstrip() for cells in zip(*padded, strict=True))


def _shown(cells: Sequence[str]) -> Sequence[str]:
    return cells if "".join(cells).isprintable() else [one_line(cell) for cell in cells]


def _wrapped(
    columns: Sequence[Sequence[str]], natural: Sequence[int], right: frozenset[int], screen: Screen, room: int
) -> Iterator[str]:
    last = len(columns) - 1
    widths = _widths(columns, natural, right, room)
    under = last > 1 and last not in right and widths[last] * _UNDER < natural[last]
    if under:
        widths = _widths(columns[:-1], natural[:-1], right, room)
    gap = " " * (2 if sum(widths) + 2 * (len(widths) - 1) <= room else 1)
    for row in zip(*columns, strict=True):
        cells = [_lines(cell, wide) for cell, wide in zip(row, widths, strict=False)]
        for number in range(max(map(len, cells))):
            parts = (
                screen.padded(
                    own[number] if number < len(own) else "",
                    wide,
                    index in right,
                    row[index] if columns[index][0] in COLOURED else "",
                )
                for index, (own, wide) in enumerate(zip(cells, widths, strict=True))
            )
            yield gap.join(parts).rstrip()
        if under:
            yield from (f"    {line}" for line in _lines(row[last], room - 4) if line)


def _widths(
    columns: Sequence[Sequence[str]], natural: Sequence[int], right: frozenset[int], room: int
) -> Sequence[int]:
    """The widest columns give way first, none below what its words need; then words are cut. Numbers are not."""
    words = [
        _least(cells, wide, index in right) for index, (cells, wide) in enumerate(zip(columns, natural, strict=True))
    ]
    cut = [min(wide, wide if index in right else _LEAST) for index, wide in enumerate(natural)]
    widths: Sequence[int] = natural
    for floors, gap in ((words, 2), (words, 1), (cut, 1)):
        for cap in range(max(natural), 0, -1):
            widths = [max(floor, min(wide, cap)) for floor, wide in zip(floors, natural, strict=True)]
            if sum(widths) + gap * (len(widths) - 1) <= room:
                return widths
    return widths


def _least(cells: Sequence[str], natural: int, is_number: bool) -> int:
    """How narrow a column may be without cutting through a word of it."""
    return (
        natural
        if is_number
        else max((width(word.rstrip()) for cell in cells for word in _WORD.findall(cell)), default=0)
    )


def _lines(cell: str, wide: int) -> list[str]:
    lines = [""]
    for word in _WORD.findall(cell):
        if lines[-1] and width(lines[-1]) + width(word.rstrip()) > wide:
            lines.append("")
        for letter in word:
            if width(lines[-1]) + width(letter) > wide:
                if letter == " ":
                    continue
                lines.append("")
            lines[-1] += letter
    return [line.rstrip() for line in lines]
