"""A report: a title, the outcome in one sentence, tables, and what to do next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from typing import TypeVar

from engine.words.layout import FILE, Row, Screen, aligned
from engine.words.wording import escaped, one_line

_Item = TypeVar("_Item")
_MARKDOWN_ROWS = 500  # an artifact is looked at in a browser


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text. `right` names the columns that are aligned to the right: numbers, sizes, durations.
    `more` closes a table that does not show everything: what is left out, and where it is shown."""

    title: str
    header: Row
    rows: tuple[Row, ...]
    right: tuple[str, ...] = ()
    more: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What an operation did. All text is plain: both forms make it harmless in their own way.

    `sentence` is the outcome in one sentence; `facts` are single values by name; `tables` without rows
    are left out; `next_steps` say what happens next and what to do.
    """

    title: str
    sentence: str
    facts: tuple[tuple[str, str], ...] = ()
    tables: tuple[Table, ...] = ()
    next_steps: tuple[str, ...] = field(default=())

    def as_text(self, screen: Screen = FILE) -> str:
        """For a terminal or a log; ends with a line break."""
        blocks = [f"{screen.bold(one_line(self.title))}\n{one_line(self.sentence)}"]
        blocks += ["\n".join(aligned(self.facts, (), screen))] if self.facts else []
        blocks += ["\n".join(_text_table(table, screen)) for table in self.tables if table.rows]
        blocks += ["\n".join(f"- {one_line(step)}" for step in self.next_steps)] if self.next_steps else []
        return "\n\n".join(blocks) + "\n"

    def as_markdown(self) -> str:
        """For a Prefect artifact, which shows the title itself; ends with a line break."""
        blocks = [f"**{escaped(self.sentence)}**"]
        # Markdown knows no table without a header: the first fact is it.
        blocks += _markdown_table(Table("", self.facts[0], self.facts[1:])) if self.facts else []
        for table in self.tables:
            blocks += _markdown_table(table) if table.rows else []
        if self.next_steps:
            blocks.append("\n".join(f"- {escaped(step)}" for step in self.next_steps))
        return "\n\n".join(blocks) + "\n"


def foremost(rows: Sequence[_Item], *weights: Callable[[_Item], float], readable: int = 100) -> list[_Item]:
    """All rows as long as somebody can take them in (`readable`); else those that weigh most by one of the
    `weights`, at most so many in all, in the order they have. A weight of 0 picks nothing."""
    if len(rows) <= readable:
        return list(rows)
    chosen: set[int] = set()
    for weight in weights:
        heaviest = nlargest(readable // len(weights), range(len(rows)), key=lambda index: weight(rows[index]))
        chosen.update(index for index in heaviest if weight(rows[index]))
    return [rows[index] for index in sorted(chosen)]


def _text_table(table: Table, screen: Screen) -> Iterator[str]:
    if table.title:
        yield screen.bold(one_line(table.title))
    lines = (table.header, *table.rows) if any(table.header) else table.rows
    right = tuple(index for index, name in enumerate(table.header) if name in table.right)
    yield from (f"  {line}" for line in aligned(lines, right, screen, indent=2))
    if table.more:
        yield f"  {one_line(table.more)}"


def _markdown_table(table: Table) -> list[str]:
    rule = ("---:" if name in table.right else "---" for name in table.header)
    lines = [_markdown_row(map(escaped, table.header)), _markdown_row(rule)]
    lines += [_markdown_row(map(escaped, row)) for row in table.rows[:_MARKDOWN_ROWS]]
    cut = len(table.rows) - _MARKDOWN_ROWS
    return [
        *([f"## {escaped(table.title)}"] if table.title else []),
        "\n".join(lines),
        *([f"and {cut:,} more"] if cut > 0 else []),
        *([escaped(table.more)] if table.more else []),
    ]


def _markdown_row(cells: Iterator[str]) -> str:
    return f"| {' | '.join(cells)} |"
