"""Takes the proof of a database through one session: the dump's, or one in what was restored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from engine.sources.postgres.archive.names import plain_name
from engine.sources.postgres.proof.dependencies import read_dependencies
from engine.sources.postgres.proof.extensions import read_extensions
from engine.sources.postgres.proof.proof import DatabaseProof, DatabaseProperties, LargeObjectProof, TableProof
from engine.sources.postgres.proof.proof_queries import (
    COLUMNS,
    DATABASE,
    DOMAINS,
    KEYS,
    LARGE_OBJECTS,
    NEW_SEQUENCES,
    OWN_LARGE_OBJECTS,
    SEQUENCES,
    TABLES,
    UNPOPULATED,
    VIEWS,
)
from engine.sources.postgres.proof.row_hash import Table, table_query
from engine.sources.postgres.server.raw_text import run, to_bytes
from engine.sources.postgres.server.rights import is_superuser
from engine.sources.postgres.server.unreadable import READABLE, Unreadable

_MODULUS = 1 << 64


def _of_no_rows(table: Table) -> TableProof:
    return TableProof(rows=0, hash=0, tree=plain_name(table.root_schema, table.root_name) if table.root else None)


class Tables(Protocol):
    """How tables are had, by their oid: `is_held` ones can be read at once, and `reading` stands around each."""

    def is_held(self, oid: int) -> bool: ...

    def reading(self, oid: int) -> AbstractContextManager[None]: ...


class _Quiet:
    """Nobody else is at them."""

    def is_held(self, oid: int) -> bool:
        del oid
        return True

    def reading(self, oid: int) -> AbstractContextManager[None]:
        del oid
        return nullcontext()


_QUIET = _Quiet()


def _name_of(table: Table) -> str:
    return plain_name(table.schema, table.name)


class _Reader:
    """Takes the parts of a proof through one session."""

    def __init__(self, connection: psycopg.Connection[TupleRow], unreadable: Unreadable) -> None:
        self._connection = connection
        self._unreadable = unreadable
        self._passed_over = unreadable.oids

    def rows(self, query: str, *parameters: Any) -> list[TupleRow]:
        return self._connection.execute(query.encode(), parameters or None).fetchall()

    def tables(self, percent: int, tables: Tables) -> dict[str, TableProof]:
        found = [table for table in (Table(*row) for row in self.rows(TABLES)) if table.oid not in self._passed_over]
        found.sort(key=lambda table: not tables.is_held(table.oid))
        proofs = {_name_of(table): _of_no_rows(table) for table in found if table.unreadable}
        for table, query in self._queries([table for table in found if not table.unreadable], percent):
            with tables.reading(table.oid):
                proofs[_name_of(table)] = self._table(query, table)
        return proofs

    def views(self) -> tuple[dict[str, TableProof], tuple[str, ...]]:
        """Materialized views, and those that cannot be read at once, since they are being refreshed, or at all."""
        proofs: dict[str, TableProof] = {}
        unread = []
        views = [Table(*row) for row in self.rows(VIEWS)]
        for view, query in self._queries([view for view in views if view.oid not in self._passed_over], 100):
            try:
                with self._connection.transaction(force_rollback=True):
                    self._connection.execute("SET LOCAL lock_timeout = '1s'")
                    proofs[_name_of(view)] = self._table(query, view)
            except (psycopg.errors.LockNotAvailable, psycopg.errors.UndefinedTable):
                unread.append(_name_of(view))
        return proofs, tuple(unread)

    def _queries(self, found: Sequence[Table], percent: int) -> Iterator[tuple[Table, sql.Composable]]:
        """Of each of these tables the query of its proof."""
        oids = [table.oid for table in found]
        columns: dict[int, list[TupleRow]] = {oid: [] for oid in oids}
        for row in self.rows(COLUMNS, oids):
            columns[row[0]].append(row)
        domains: dict[int, set[str]] = {oid: set() for oid in oids}
        for oid, name in self.rows(DOMAINS, oids):
            domains[oid].add(name)
        keys = self._keys(found) if percent < 100 else {}
        for table in found:
            own = frozenset(domains[table.oid])
            yield table, table_query(table, columns[table.oid], own, keys.get(table.oid), percent)

    def _keys(self, tables: Sequence[Table]) -> dict[int, frozenset[str]]:
        """The columns by which each table is sampled: a tree's rows may move between its leaves, so its
        leaves are sampled alike, by the root's key."""
        by_whose = {table.oid: table.root or table.oid for table in tables}
        keys: dict[int, list[str]] = dict(self.rows(KEYS, list(by_whose.values())))
        return {oid: frozenset(keys[whose]) for oid, whose in by_whose.items() if whose in keys}

    def _table(self, query: sql.Composable, table: Table) -> TableProof:
        row = self._connection.execute(to_bytes(f"{query.as_string(None)} {table.condition}")).fetchone()
        assert row is not None  # noqa: S101 - an aggregate returns one row
        return _of_no_rows(table).model_copy(update={"rows": row[0], "hash": int(row[1]) % _MODULUS})

    def sequences(self) -> dict[str, tuple[int, bool]]:
        values = {}
        for schema, name in self.rows(SEQUENCES):
            query = sql.SQL("SELECT last_value, is_called FROM {}").format(sql.Identifier(schema, name))
            row = run(self._connection, query).fetchone()
            assert row is not None  # noqa: S101 - a sequence has one row
            values[plain_name(schema, name)] = (row[0], row[1])
        return values

    def unpopulated(self) -> tuple[str, ...]:
        return tuple(plain_name(*name) for oid, *name in self.rows(UNPOPULATED) if oid not in self._passed_over)

    def new_sequences(self) -> dict[str, tuple[int, bool]]:
        """Those whose value cannot be read begin anew in a restore."""
        unreadable = [one.oid for one in self._unreadable.values]
        return {
            plain_name(schema, name): (start, False) for schema, name, start in self.rows(NEW_SEQUENCES, unreadable)
        }

    def large_objects(self) -> dict[int, LargeObjectProof]:
        if self._unreadable.large_objects:
            return {}
        query = LARGE_OBJECTS if is_superuser(self._connection) else OWN_LARGE_OBJECTS
        return {
            oid: LargeObjectProof(owner=owner, acl=acl, comment=comment, size=size, hash=int(total) % _MODULUS)
            for oid, owner, acl, comment, size, total in self.rows(query)
        }

    def properties(self) -> DatabaseProperties:
        values = dict(zip(DatabaseProperties.model_fields, self.rows(DATABASE)[0], strict=True))
        return DatabaseProperties.model_validate(values)


def take_proof(
    connection: psycopg.Connection[TupleRow],
    database: str,
    schema_sql: str,
    sequences: dict[str, tuple[int, bool]] | None = None,
    *,
    sample_percent: int = 100,
    guarded: Tables = _QUIET,
    unreadable: Unreadable = READABLE,
) -> DatabaseProof:
    """The proof of what `connection` sees: in the dump's snapshot, or after a restore.

    The session's client encoding is the one the proof's dump was made in (`raw_text.client_encoding`).
    `sequences` are the values in the dump: sequences are not part of a snapshot, so the dump may
    hold a later value than the proof's session would see. None reads them from the database.
    `sample_percent` is that of the proof it will be compared with; every row is counted all the same.
    `guarded`: how tables are had that others may change. `unreadable` is what the session's role may not read: the dump lacks it too.
    """
    reader = _Reader(connection, unreadable)
    properties = reader.properties()
    views, unread = reader.views()
    return DatabaseProof(
        database=database,
        properties=properties,
        tables=reader.tables(sample_percent, guarded),
        sequences=reader.sequences() if sequences is None else {**reader.new_sequences(), **sequences},
        large_objects=reader.large_objects(),
        unpopulated=reader.unpopulated(),
        schema_sql=schema_sql,
        views=views,
        unread_views=unread,
        sample_percent=sample_percent,
        extensions=read_extensions(connection),
        dependencies=read_dependencies(connection, [one.oid for one in unreadable.omitted]),
    )
