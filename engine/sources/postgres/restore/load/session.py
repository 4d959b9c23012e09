"""A session that loads rows beside others, and meanwhile builds indexes of tables that are in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg

from engine.sources.postgres.archive.table_data import Rows, TableCopy
from engine.sources.postgres.restore.load.scheduler import LoadScheduler
from engine.sources.postgres.restore.load.steps import Build, Load, Step
from engine.sources.postgres.restore.replay import APPLICATION
from engine.sources.postgres.server.server import Server, failed

_FREEZE_SINCE = 140000
"""From PostgreSQL 14 on COPY FREEZE marks its pages as visible to all ("properly update page visibility", its release notes)."""

_LOCK_SECONDS = 10
"""Longer than it takes autovacuum to yield; sessions that wait for each other's rows are no deadlock to PostgreSQL."""


@dataclass(slots=True)
class LoadedBeside:
    """What sessions did beside loading rows: `frozen` are tables that need no VACUUM, `built` dump ids of indexes."""

    frozen: set[bytes] = field(default_factory=set)
    built: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Loading:
    """What the sessions share. `sort_memory` says in kB what an index of a table of so many bytes is sorted in."""

    server: Server
    database: str
    scheduler: LoadScheduler
    sort_memory: Callable[[int], int]
    done: LoadedBeside = field(default_factory=LoadedBeside)

    def run(self) -> None:
        """One session, until there is no more to do.

        Raises:
            OperationFailed: the server refuses a row (a TransientFailure where it went away).
        """
        try:
            with self.server.connect(self.database, application=APPLICATION, restoring=True) as connection:
                connection.execute("SET synchronous_commit = off")
                connection.execute("SET max_parallel_maintenance_workers = 0")
                _Session(self, connection).run()
        except psycopg.Error as error:
            self.scheduler.leave()
            raise failed(f"Loading the rows of {self.database!r} failed", error) from None
        except BaseException:
            self.scheduler.leave()
            raise


class _Session:
    def __init__(self, loading: Loading, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        self._loading = loading
        self._scheduler = loading.scheduler
        self._connection = connection
        self._ready = False

    def run(self) -> None:
        while step := self._scheduler.take():
            self._do(step)
            self._scheduler.done(step)

    def _do(self, step: Step) -> None:
        if isinstance(step, Load):
            self._load(step)
        else:
            self._build(step)

    def _load(self, step: Load) -> None:
        table = step.rows.copy
        if not self._ready:
            self._connection.execute(table.settings)
            self._ready = True
        if step.alone and self._may_freeze(table):
            # Rows that are born visible to all need no VACUUM and are not written again when they are first read.
            with self._connection.transaction():
                self._connection.execute(b"TRUNCATE ONLY " + table.table)
                self._copy(table.statement + b" WITH (FREEZE)", step.rows)
            self._loading.done.frozen.add(table.table)
        else:
            # What is not flushed yet, VACUUM could not mark as visible to all.
            with self._connection.transaction():
                self._connection.execute("SET LOCAL synchronous_commit = local")
                self._copy(table.statement, step.rows)

    def _may_freeze(self, table: TableCopy) -> bool:
        """An extension's table may have rows of its own, or foreign keys; a partitioned one has none to truncate."""
        if self._connection.info.server_version < _FREEZE_SINCE:
            return False
        literal = b"'" + table.table.replace(b"'", b"''") + b"'"
        (answer,) = self._connection.execute(
            b"SELECT relkind = 'r' AND NOT relhastriggers AND NOT EXISTS (SELECT FROM ONLY " + table.table + b") "
            b"FROM pg_catalog.pg_class WHERE oid = " + literal + b"::pg_catalog.regclass"
        ).fetchall()[0]
        return bool(answer)

    def _copy(self, statement: bytes, rows: Rows | None) -> None:
        """Copy rows of one table until there are no more of it."""
        with self._connection.cursor().copy(statement) as copy:
            while rows is not None:
                copy.write(rows.data)
                rows = self._scheduler.more(rows.copy)

    def _build(self, step: Build) -> None:
        """What cannot be built, or waits for a lock, is left to pg_restore, which says why."""
        memory = self._loading.sort_memory(step.size)
        try:
            with self._connection.transaction():
                self._connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS * 1000:.0f}ms'".encode())
                self._connection.execute(f"SET LOCAL maintenance_work_mem = '{memory}kB'".encode())
                self._connection.execute(step.index.statement)
        except psycopg.DatabaseError:
            if self._connection.closed:
                raise
            return
        self._loading.done.built.add(step.index.dump_id)
