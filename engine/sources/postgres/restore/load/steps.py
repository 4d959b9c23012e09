"""What a session can do next while a database's rows come."""

from __future__ import annotations

from dataclasses import dataclass

from engine.sources.postgres.archive.plain_index import PlainIndex
from engine.sources.postgres.archive.table_data import Rows


@dataclass(frozen=True, slots=True)
class Load:
    """Load these rows of a table, and what `more` gives. `alone`: no other session loads into it."""

    rows: Rows
    alone: bool

    @property
    def table(self) -> bytes:
        return self.rows.copy.table


@dataclass(frozen=True, slots=True)
class Build:
    """Build an index of a table whose rows, so many bytes of SQL, are all in."""

    index: PlainIndex
    size: int

    @property
    def table(self) -> bytes:
        return self.index.table


Step = Load | Build
