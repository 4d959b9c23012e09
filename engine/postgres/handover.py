"""Who of several sessions does what while a database's rows come as one stream.

A table's rows go to all sessions, unless there is something better to do: then one session loads the next
large table alone, and the others build the plain indexes of those that are in, or prove their rows.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from engine.postgres.plain_index import PlainIndex
from engine.postgres.table_data import Rows

LARGE = 8 * 2**20
"""Bytes of rows from which on a table is worth steps of its own."""


@dataclass(frozen=True, slots=True)
class Load:
    """Load these rows of a table, and what `more` gives. `alone`: no other session loads into it."""

    rows: Rows
    alone: bool


@dataclass(frozen=True, slots=True)
class Build:
    """Build an index of a table whose rows, so many bytes of SQL, are all in."""

    index: PlainIndex
    size: int


@dataclass(frozen=True, slots=True)
class Prove:
    """Prove the rows of a table that are all in."""

    table: bytes


Step = Load | Build | Prove


class Handover:
    """Rows on their way from one thread to `sessions`, and what can be done beside; whoever leaves ends it for all.

    `worth` are the tables (as SQL) that a session may load alone, `indexes` those that may be built early;
    `prove`: whether rows are proven early.
    """

    def __init__(
        self,
        sessions: int,
        worth: Collection[bytes] = (),
        indexes: Sequence[PlainIndex] = (),
        *,
        prove: bool = False,
    ) -> None:
        self._sessions = sessions
        self._worth = worth
        self._indexes = indexes
        self._prove = prove
        self._changed = threading.Condition()
        self._rows: deque[Rows] = deque()
        self._given: bytes | None = None
        self._ended = self._left = False
        self._owner: int | None = None
        self._bytes: dict[bytes, int] = {}
        self._alone: set[bytes] = set()
        self._loading: Counter[bytes] = Counter()
        self._building: list[PlainIndex] = []
        self._builds: list[Build] = []
        self._proofs: deque[Prove] = deque()
        self._busy = 0

    @property
    def large_tables(self) -> tuple[bytes, ...]:
        """The tables whose rows were many, as SQL."""
        return tuple(table for table, size in self._bytes.items() if size > LARGE)

    @property
    def to_prove(self) -> tuple[bytes, ...]:
        """Those of them that nobody has proven or proves."""
        left = {step.table for step in self._proofs}
        return tuple(table for table in self.large_tables if table in left)

    @property
    def largest(self) -> int:
        """How many bytes the rows of the largest table are."""
        return max(self._bytes.values(), default=0)

    @property
    def at_work_beside(self) -> bool:
        """Whether a session does something that may take long and moves no rows."""
        return self._busy > sum(self._loading.values())

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
            self._changed.wait_for(lambda: len(self._rows) < self._sessions or self._left)
            if self._left:
                raise BrokenPipeError
            self._bytes[table] = self._bytes.get(table, 0) + len(rows.data)
            self._given = table
            self._rows.append(rows)
            self._changed.notify_all()

    def take(self) -> Step | None:
        """What a session does next; None when there is no more. It says `done` when it has done it."""
        with self._changed:
            step = self._step()
            while step is None and not self._is_over():
                self._changed.wait()
                step = self._step()
            self._busy += step is not None
            return step

    def _is_over(self) -> bool:
        return self._left or (self._ended and not self._rows)

    def _step(self) -> Step | None:
        """Rows must never wait for want of a session that loads them."""
        if self._left:
            return None
        over = self._is_over()
        if self._loading or (over and self._busy):
            if step := self._build():
                return step
            if self._proofs and not over:
                return self._proofs.popleft()
        return self._load()

    def _build(self) -> Build | None:
        for build in self._builds:
            others = [index for index in self._building if index.table == build.index.table]
            if not others or not (build.index.alone or any(index.alone for index in others)):
                self._builds.remove(build)
                self._building.append(build.index)
                return build
        return None

    def _load(self) -> Load | None:
        if not self._rows or not self._mine() or self._rows[0].copy.table in self._alone:
            return None
        table = self._rows[0].copy.table
        spare = self._sessions - self._busy - len(self._builds) - len(self._proofs)
        if table in self._worth and table not in self._loading and spare <= 1:
            self._alone.add(table)
        self._loading[table] += 1
        return Load(self._next(), table in self._alone)

    def more(self, table: bytes) -> Rows | None:
        """The next rows of the same table; None when there are no more of it. Who got the start of a row gets its rest."""

        def known() -> bool:
            if not self._rows:
                return self._given != table
            return self._rows[0].copy.table != table or self._mine()

        with self._changed:
            self._changed.wait_for(lambda: self._left or known())
            if self._left or not self._rows or self._rows[0].copy.table != table:
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
            self._busy -= 1
            if isinstance(step, Load):
                self._loaded(step.rows.copy.table)
            elif isinstance(step, Build):
                self._building.remove(step.index)
            self._changed.notify_all()

    def _loaded(self, table: bytes) -> None:
        self._loading[table] -= 1
        if self._loading[table]:
            return
        del self._loading[table]
        if self._bytes[table] > LARGE:
            own = (index for index in self._indexes if index.table == table)
            self._builds += [Build(index, self._bytes[table]) for index in own]
            if self._prove:
                self._proofs.append(Prove(table))

    def leave(self) -> None:
        """Take no more, and let nobody: this session has failed."""
        with self._changed:
            self._left = True
            self._changed.notify_all()
