"""Sessions that load rows at the same time: several tables, or several parts of a large one."""

from __future__ import annotations

import threading
from collections import deque
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
        self._owner: int | None = None

    @property
    def large_tables(self) -> tuple[bytes, ...]:
        """The tables whose rows were many, as SQL."""
        return tuple(table for table, size in self._bytes.items() if size > _LARGE)

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
                self._bytes[rows.copy.table] = self._bytes.get(rows.copy.table, 0) + len(rows.data)
                self._put(rows)
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _put(self, rows: Rows) -> None:
        with self._changed:
            self._changed.wait_for(lambda: len(self._rows) < self._room or self._left)
            if self._left:
                raise BrokenPipeError
            self._rows.append(rows)
            self._changed.notify_all()

    def take(self) -> Rows | None:
        """The next rows; None when there are no more. Who got the start of a row gets the rest of it."""
        me = threading.get_ident()
        with self._changed:
            self._changed.wait_for(lambda: self._left or self._has_for(me))
            if self._left or not self._rows:
                return None
            rows = self._rows.popleft()
            self._owner = me if rows.unfinished else None
            self._changed.notify_all()
            return rows

    def _has_for(self, thread: int) -> bool:
        return self._owner in (None, thread) if self._rows else self._ended

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
        rows = self._handover.take()
        while rows is not None:
            rows = self._copied(rows.copy, rows)

    def _copied(self, table: TableCopy, rows: Rows | None) -> Rows | None:
        """Copy rows of one table; the first that are another's."""
        if not self._ready:
            self._connection.execute(table.settings)
            self._ready = True
        with self._connection.cursor().copy(table.statement) as copy:
            while rows is not None and rows.copy is table:
                copy.write(rows.data)
                rows = self._handover.take()
        return rows
