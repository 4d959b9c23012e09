"""Who of several sessions does what while a database's rows come as one stream.

A table's rows go to all sessions, unless there is enough to do beside: then one session loads the next large
table alone, and the others build the plain indexes of those that are in.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from engine.sources.postgres.archive.plain_index import PlainIndex
from engine.sources.postgres.archive.table_data import Rows, TableCopy
from engine.sources.postgres.restore.load.steps import Build, Load, Step

LARGE = 8 * 2**20
"""Bytes of rows from which on a table is worth steps of its own."""
_ENOUGH = 2
"""A table is loaded by one session if it has at most so many times the rows of those that are worked on beside."""


class LoadScheduler:
    """Rows on their way from one thread to so many `sessions`, and what can be done beside; whoever leaves ends it for all.

    `worth` are the tables (as SQL) that a session may load alone, with their number of rows; `indexes` those that
    may be built early.
    """

    def __init__(
        self,
        sessions: int,
        worth: Mapping[bytes, int] = MappingProxyType({}),
        indexes: Sequence[PlainIndex] = (),
    ) -> None:
        self.sessions = sessions
        self._worth = worth
        self._indexes = indexes
        self._changed = threading.Condition()
        self._rows: deque[Rows] = deque()
        self._given: TableCopy | None = None
        self._ended = self._left = False
        self._owner: int | None = None
        self._bytes: dict[bytes, int] = {}
        self._alone: set[bytes] = set()
        self._at_work: list[Step] = []
        self._builds: list[Build] = []

    @property
    def large_tables(self) -> tuple[bytes, ...]:
        """The tables whose rows were many, as SQL."""
        return tuple(table for table, size in self._bytes.items() if size > LARGE)

    @property
    def largest(self) -> int:
        """How many bytes the rows of the largest table are."""
        return max(self._bytes.values(), default=0)

    def give(self, source: Iterable[Rows]) -> None:
        """Pass on all rows, then end.

        Raises:
            BrokenPipeError: nobody takes them any more.
        """
        try:
            for rows in source:
                self._put(rows)
        finally:
            with self._changed:
                self._ended, self._given = True, None
                self._changed.notify_all()

    def _put(self, rows: Rows) -> None:
        table = rows.copy.table
        with self._changed:
            self._changed.wait_for(lambda: len(self._rows) < self.sessions or self._left)
            if self._left:
                raise BrokenPipeError
            self._bytes[table] = self._bytes.get(table, 0) + len(rows.data)
            self._given = rows.copy
            self._rows.append(rows)
            self._changed.notify_all()

    def take(self) -> Step | None:
        """What a session does next; None when there is no more. It says `done` when it has done it."""
        with self._changed:
            step = self._step()
            while step is None and not self._is_over():
                self._changed.wait()
                step = self._step()
            if step is not None:
                self._at_work.append(step)
            return step

    def _is_over(self) -> bool:
        return self._left or (self._ended and not self._rows)

    def _loaded_by(self, table: bytes | None = None) -> int:
        """How many sessions load, or load this table."""
        steps = [step for step in self._at_work if isinstance(step, Load)]
        return sum(table in (None, step.table) for step in steps)

    def _step(self) -> Step | None:
        """Rows must never wait for want of a session that loads them."""
        if self._left:
            return None
        over = self._is_over()
        if (self._loaded_by() or (over and self._at_work)) and (step := self._build()):
            return step
        return self._load()

    def _build(self) -> Build | None:
        building = [step.index for step in self._at_work if isinstance(step, Build)]
        for build in self._builds:
            others = [index for index in building if index.table == build.table]
            if not others or not (build.index.alone or any(index.alone for index in others)):
                self._builds.remove(build)
                return build
        return None

    def _load(self) -> Load | None:
        if not self._rows or not self._mine() or self._rows[0].copy.table in self._alone:
            return None
        table = self._rows[0].copy.table
        if not self._loaded_by(table) and self._is_enough_beside(table):
            self._alone.add(table)
        return Load(self._next(), table in self._alone)

    def _is_enough_beside(self, table: bytes) -> bool:
        """Whether the other sessions have something to do while one loads this table."""
        spare = self.sessions - len(self._at_work) - len(self._builds)
        beside = {step.table for step in (*self._at_work, *self._builds)}
        rows = sum(self._worth.get(other, 0) for other in beside)
        return spare <= 1 and 0 < self._worth.get(table, 0) <= _ENOUGH * rows

    def more(self, copy: TableCopy) -> Rows | None:
        """The next rows for the same COPY; None when there are no more. Who got the start of a row gets its rest."""

        def known() -> bool:
            if not self._rows:
                return self._given != copy
            return self._rows[0].copy != copy or self._mine()

        with self._changed:
            self._changed.wait_for(lambda: self._left or known())
            if self._left or not self._rows or self._rows[0].copy != copy:
                return None
            return self._next()

    def _mine(self) -> bool:
        return self._owner in (None, threading.get_ident())

    def _next(self) -> Rows:
        rows = self._rows.popleft()
        self._owner = threading.get_ident() if rows.unfinished else None
        self._changed.notify_all()
        return rows

    def done(self, step: Step) -> None:
        """A session has done this step; rows that it loaded are committed."""
        with self._changed:
            self._at_work.remove(step)
            if isinstance(step, Load) and not self._loaded_by(step.table):
                self._is_in(step.table)
            self._changed.notify_all()

    def _is_in(self, table: bytes) -> None:
        self._alone.discard(table)
        if self._bytes[table] > LARGE:
            own = (index for index in self._indexes if index.table == table)
            self._builds += [Build(index, self._bytes[table]) for index in own]

    def leave(self) -> None:
        """Take no more, and let nobody: this session has failed."""
        with self._changed:
            self._left = True
            self._changed.notify_all()
