"""The tables of a dump stay as they are until its proof is taken, and nobody waits for us.

TRUNCATE and a change that rewrites a table empty it for older snapshots too: a proof that is read after one would miss
the rows that the dump has. pg_dump locks what it reads until it ends, and its locks come first: a session of ours that
held a table before it would be waited for by a TRUNCATE, and pg_dump by that. Once pg_dump has its locks, the snapshot's
session takes the same ones without waiting: one for each table, no more (what reading a table locks beside, each of
its indexes, is given back with a savepoint).

A table that somebody waits to change by then is read when pg_dump has ended. Its file tells whether the rows are still
the dump's: TRUNCATE gives it another one. Where it had got another between snapshot and dump too, the snapshot sees
no rows in any of them, and neither did pg_dump.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import psycopg
from psycopg.rows import TupleRow

from engine.errors import PlatformOpsError, TransientFailure
from engine.sources.postgres.server.raw_text import to_text
from engine.sources.postgres.server.server import Server
from engine.streams.stderr import reason

_TABLES = """
SELECT c.oid, pg_catalog.textsend(pg_catalog.concat(pg_catalog.quote_ident(n.nspname::text), '.',
       pg_catalog.quote_ident(c.relname::text))), c.relfilenode, pg_catalog.pg_relation_filenode(c.oid::pg_catalog.regclass)
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND c.relpersistence <> 't'
   AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
"""
"""The catalogue is read in the snapshot, pg_relation_filenode tells what is true now."""
_FILE = "SELECT pg_catalog.pg_relation_filenode(%s::pg_catalog.oid::pg_catalog.regclass)"
_LOCKED = """
SELECT DISTINCT pg_catalog.textsend(pg_catalog.concat(l.relation::pg_catalog.regclass)) FROM pg_catalog.pg_locks l
 WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.relation >= 16384::pg_catalog.oid
   AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
 ORDER BY 1 LIMIT 6
"""
_AT_ONCE, _LOOK_SECONDS = 1000, 1


class TableInTheWay(TransientFailure):
    """Somebody changes a table, or has changed or dropped it since the snapshot: another snapshot is likely to do."""


@dataclass(frozen=True, slots=True)
class _Table:
    """`name` is SQL; its file as the snapshot has it, and as it was once pg_dump had its locks."""

    name: bytes
    file: int
    dumped_file: int | None

    @property
    def shown(self) -> str:
        return to_text(self.name)


def locks_given_back(connection: psycopg.Connection[TupleRow]) -> AbstractContextManager[object]:
    """A block after whose end the transaction holds no lock more than before it; nothing may be written in it."""
    return connection.transaction(force_rollback=True)


def in_the_way(server: Server, database: str, why: str) -> TableInTheWay:
    """The error of a dump that could not have a table; those that are locked now are named."""
    named = ""
    try:
        with server.connect(database) as connection:
            rows = connection.execute(_LOCKED).fetchall()
            named = ", ".join(to_text(bytes(row[0])) for row in rows)
    except (PlatformOpsError, psycopg.Error):
        pass  # the first reason is told
    locked = f" (locked now: {named})" if named else ""
    return TableInTheWay(f"A table of database {database!r} of {server.address} stood in the dump's way{locked}: {why}")


class DumpedTables:
    """The tables of the snapshot that `connection` is in, once pg_dump has its locks; `dumping`: it still runs.
    `unreadable`: oids of tables that the role may not lock."""

    def __init__(
        self,
        connection: psycopg.Connection[TupleRow],
        database: str,
        wait_seconds: int,
        dumping: Callable[[], bool],
        unreadable: Collection[int] = (),
    ) -> None:
        self._connection = connection
        self._database = database
        self._wait_seconds = wait_seconds
        self._dumping = dumping
        rows = connection.execute(_TABLES)
        self._tables = {oid: _Table(bytes(name), *files) for oid, name, *files in rows if oid not in unreadable}
        self._held: set[int] = set()
        self._room = True
        oids = list(self._tables)
        for first in range(0, len(oids), _AT_ONCE):
            self._hold(oids[first : first + _AT_ONCE])

    def _hold(self, oids: Sequence[int]) -> None:
        """Lock those that can be had at once; without room in the server's table of locks, none more."""
        names = b", ".join(b"ONLY " + self._tables[oid].name for oid in oids)
        if not self._room or not oids:
            return
        try:
            with self._connection.transaction():
                self._connection.execute(b"LOCK TABLE " + names + b" IN ACCESS SHARE MODE NOWAIT")
            self._held.update(oids)
        except psycopg.errors.OutOfMemory:
            self._room = False
        except (psycopg.errors.LockNotAvailable, psycopg.errors.UndefinedTable):
            if len(oids) > 1:
                half = len(oids) // 2
                self._hold(oids[:half])
                self._hold(oids[half:])

    def is_held(self, oid: int) -> bool:
        """Whether a table can be read without waiting for anybody."""
        return oid in self._held

    @contextmanager
    def reading(self, oid: int) -> Iterator[None]:
        """For a block that reads a table: it sees the rows that pg_dump sees.

        Raises:
            TableInTheWay: it would not, or the table cannot be had.
        """
        with locks_given_back(self._connection):
            try:
                if oid in self._tables and oid not in self._held:
                    self._lock(self._tables[oid])
                    self._check(oid, self._tables[oid])
                yield
            except (psycopg.errors.LockNotAvailable, psycopg.errors.UndefinedTable) as error:
                raise self._changed(self._tables[oid], reason(str(error))) from None

    def _lock(self, table: _Table) -> None:
        """As long as pg_dump runs, whoever changes the table waits for it, and we for them."""
        deadline = time.monotonic() + self._wait_seconds
        while True:
            try:
                with self._connection.transaction():
                    self._connection.execute(f"SET LOCAL lock_timeout = '{_LOOK_SECONDS}s'".encode())
                    self._connection.execute(b"LOCK TABLE ONLY " + table.name + b" IN ACCESS SHARE MODE")
                return
            except psycopg.errors.LockNotAvailable:
                if self._dumping():
                    deadline = time.monotonic() + self._wait_seconds
                elif time.monotonic() > deadline:
                    raise

    def _check(self, oid: int, table: _Table) -> None:
        ((file,),) = self._connection.execute(_FILE, (oid,)).fetchall()
        if file != table.dumped_file and table.dumped_file == table.file:
            raise self._changed(table, "its rows were replaced (TRUNCATE or the like) before they were read again")

    def _changed(self, table: _Table, why: str) -> TableInTheWay:
        return TableInTheWay(
            f"Table {table.shown} of database {self._database!r} was changed while it was dumped, so that its proof would "
            f"differ from its dump: {why}. Run the backup again; where that goes on, see what changes it."
        )
