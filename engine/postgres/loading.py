"""Sessions that load rows at the same time: several tables, or several parts of a large one."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable

import psycopg

from engine.postgres.replay import APPLICATION
from engine.postgres.server import Server, failed
from engine.postgres.table_data import Rows, TableCopy

_LARGE = 8 * 2**20


class Handover:
    """Rows on their way from one thread to several, a few at a time; whoever leaves ends it for all."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._rows: deque[Rows] = deque()
        self._changed = threading.Condition()
        self._ended = self._left = False
        self._bytes: dict[bytes, int] = {}
        self._sessions: Counter[bytes] = Counter()
        self._given: bytes | None = None
        self._owner: int | None = None

    @property
    def large_tables(self) -> tuple[bytes, ...]:
        """The tables whose rows were many, as SQL."""
        return tuple(table for table, size in self._bytes.items() if size > _LARGE)

    def give(self, source: Iterable[Rows]) -> None:
        """Pass on all rows, then end.

        Raises:
            BrokenPipeError: nobody takes them any more.
        """
        try:
            for rows in source:
                self._bytes[rows.copy.table] = self._bytes.get(rows.copy.table, 0) + len(rows.data)
                self._put(rows)
        finally:
            with self._changed:
                self._ended, self._given = True, None
                self._changed.notify_all()

    def _put(self, rows: Rows) -> None:
        with self._changed:
            self._changed.wait_for(lambda: len(self._rows) < self._room or self._left)
            if self._left:
                raise BrokenPipeError
            self._given = rows.copy.table
            self._rows.append(rows)
            self._changed.notify_all()

    def take(self) -> Rows | None:
        """The next rows; None when there are no more. Who got the start of a row gets the rest of it.

        Whoever takes them calls `more` until there is nothing, and `done` once they are committed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._left or (self._mine() if self._rows else self._ended))
            rows = self._next()
            if rows is not None:
                self._sessions[rows.copy.table] += 1
            return rows

    def more(self, table: bytes) -> Rows | None:
        """The next rows of the same table; None when there are no more of it."""

        def known() -> bool:
            if not self._rows:
                return self._given != table
            return self._rows[0].copy.table != table or self._mine()

        with self._changed:
            self._changed.wait_for(lambda: self._left or known())
            return self._next() if self._rows and self._rows[0].copy.table == table else None

    def done(self, table: bytes) -> bool:
        """A session has committed what it took of the table; whether it was the last one, so that all is in."""
        with self._changed:
            self._sessions[table] -= 1
            return not self._sessions[table] and not self._left

    def _mine(self) -> bool:
        return self._owner in (None, threading.get_ident())

    def _next(self) -> Rows | None:
        if self._left or not self._rows:
            return None
        rows = self._rows.popleft()
        self._owner = threading.get_ident() if rows.unfinished else None
        self._changed.notify_all()
        return rows

    def leave(self) -> None:
        """Take no more, and let nobody: this session has failed."""
        with self._changed:
            self._left = True
            self._changed.notify_all()


def load(server: Server, database: str, handover: Handover) -> None:
    """Load what is handed over, in one session, until there is no more.

    Raises:
        OperationFailed: the server refuses a row (a TransientFailure where it went away).
    """
    try:
        with server.connect(database, application=APPLICATION) as connection:
            # What is not flushed yet, VACUUM could not mark as visible to all.
            connection.execute("SET synchronous_commit = local")
            _Session(connection, handover).load()
    except psycopg.Error as error:
        handover.leave()
        raise failed(f"Loading the rows of {database!r} failed", error) from None
    except BaseException:
        handover.leave()
        raise


class _Session:
    def __init__(self, connection: psycopg.Connection[tuple[object, ...]], handover: Handover) -> None:
        self._connection = connection
        self._handover = handover
        self._ready = False

    def load(self) -> None:
        while rows := self._handover.take():
            table = rows.copy.table
            self._copy(rows.copy, rows)
            if self._handover.done(table) and table in self._handover.large_tables:
                self._vacuum(table)

    def _vacuum(self, table: bytes) -> None:
        """Mark a large table as visible to all: foreign keys are then checked in indexes alone, four times as fast.

        Whoever brought its last rows does it, while the next table is loaded.
        """
        self._connection.execute(b"VACUUM " + table)

    def _copy(self, table: TableCopy, rows: Rows | None) -> None:
        """Copy rows of one table until there are no more of it."""
        if not self._ready:
            self._connection.execute(table.settings)
            self._ready = True
        with self._connection.cursor().copy(table.statement) as copy:
            while rows is not None:
                copy.write(rows.data)
                rows = self._handover.more(table.table)
