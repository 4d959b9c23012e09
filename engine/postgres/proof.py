"""The proof of a database: what it holds, small enough to compare after a restore.

For each table the number of rows and an order-free hash of them, for each large object a hash, for
each sequence its value, and the schema as text. The hash of a row is 64 bits over the binary form
of its columns by name: `record_send` keeps what equality hides (1.0 and 1.00, -0.0, trailing
blanks), and hashing the whole form in one call is not linear in the columns, so values that
changed places between rows are found. The table's hash is the sum of its rows' hashes modulo 2^64,
which duplicates do not cancel. Types whose binary form may change in a correct restore go as
text, under fixed session settings: enums, reg*, composites and types of extensions carry oids, an
array may or may not have a bitmap of NULLs, a float may be a NaN of either sign. Oids below 10000
are fixed in PostgreSQL's source (transam.h, FirstGenbkiObjectId).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow
from pydantic import BaseModel, ConfigDict

from engine.postgres.proof_queries import (
    COLUMNS,
    DATABASE,
    DOMAINS,
    LARGE_OBJECTS,
    SEQUENCES,
    TABLES,
    UNPOPULATED,
)
from engine.postgres.server import WITHOUT_CONVERSION

_MODULUS = 1 << 64


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TableProof(_Frozen):
    """`rows` and `hash` (of 64 bits) of one table. `tree` is the root of a hash-partitioned tree:
    its rows may land in other leaves after a restore, so such leaves are compared as one."""

    rows: int
    hash: int
    tree: str | None = None


class LargeObjectProof(_Frozen):
    owner: str
    acl: str
    comment: str
    size: int
    hash: int


class DatabaseProperties(_Frozen):
    """What a database itself has set; `settings` are pairs of a role (empty: all) and `name=value`;
    `provider` is `c` (libc), `i` (ICU) or `b` (built in) and `locale` ICU's or the built-in one's."""

    owner: str
    encoding: str
    collate: str
    ctype: str
    provider: str
    locale: str
    icu_rules: str
    connection_limit: int
    template: bool
    comment: str
    acl: tuple[str, ...]
    settings: tuple[tuple[str, str], ...]


class DatabaseProof(_Frozen):
    """The proof of one database. `schema_sql` is the SQL of everything but data."""

    database: str
    properties: DatabaseProperties
    tables: dict[str, TableProof]
    sequences: dict[str, tuple[int, bool]]
    large_objects: dict[int, LargeObjectProof]
    unpopulated: tuple[str, ...]
    schema_sql: str

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables.values())


_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_]*")


def plain_name(schema: str, name: str) -> str:
    """`schema.name`, quoted by a rule that no version's list of keywords changes."""
    return ".".join(
        part if _PLAIN_NAME.fullmatch(part) else '"' + part.replace('"', '""') + '"'
        for part in (schema, name)
    )


def columns_expression(columns: Iterable[tuple[Any, ...]], domains: frozenset[str]) -> sql.Composable:
    """The SQL of one row's hash. `columns` are rows of the catalogue query, sorted by name."""
    binary: list[sql.Composable] = []
    text: list[sql.Composable] = []
    for _, name, type_name, has_stable_binary_form in columns:
        column: sql.Composable = sql.SQL("_r.{}").format(sql.Identifier(name))
        if not has_stable_binary_form:
            text.append(column)
            continue
        if name in domains:
            column = sql.SQL("{}::pg_catalog.{}").format(column, sql.Identifier(type_name))
        if type_name in ("float4", "float8"):  # inf - inf is a NaN with a sign, which no text keeps
            nan = sql.SQL("'NaN'::pg_catalog.{}").format(sql.Identifier(type_name))
            column = sql.SQL("CASE WHEN {} = {} THEN {} ELSE {} END").format(column, nan, nan, column)
        binary.append(column)
    if text:
        binary.append(sql.SQL("ROW({})::pg_catalog.text").format(sql.SQL(", ").join(text)))
    return sql.SQL("pg_catalog.hash_record_extended(ROW(pg_catalog.record_send(ROW({}))), 0)").format(
        sql.SQL(", ").join(binary)
    )


class _Reader:
    """Takes the parts of a proof through one session."""

    def __init__(self, connection: psycopg.Connection[TupleRow]) -> None:
        self._connection = connection

    def rows(self, query: str, *parameters: Any) -> list[TupleRow]:
        return self._connection.execute(query.encode(), parameters or None).fetchall()

    def tables(self, encoding: str) -> dict[str, TableProof]:
        found = self.rows(TABLES)
        oids = [row[0] for row in found]
        columns: dict[int, list[TupleRow]] = {oid: [] for oid in oids}
        for row in self.rows(COLUMNS, oids):
            columns[row[0]].append(row)
        domains: dict[int, set[str]] = {oid: set() for oid in oids}
        for oid, name in self.rows(DOMAINS, oids):
            domains[oid].add(name)
        with self._bytes_as_they_are(encoding):
            return {
                plain_name(schema, name): self._table(
                    sql.Identifier(schema, name),
                    columns_expression(columns[oid], frozenset(domains[oid])),
                    condition or "",
                    None if root is None else plain_name(root_schema, root),
                )
                for oid, schema, name, root_schema, root, condition in found
            }

    @contextmanager
    def _bytes_as_they_are(self, encoding: str) -> Iterator[None]:
        """Text of such a database may be no text of any encoding: nothing can convert it."""
        if encoding in WITHOUT_CONVERSION:
            self._connection.execute("SET client_encoding = 'SQL_ASCII'")
        yield
        if encoding in WITHOUT_CONVERSION:
            self._connection.execute("SET client_encoding = 'UTF8'")

    def _table(
        self, table: sql.Identifier, row_hash: sql.Composable, condition: str, tree: str | None
    ) -> TableProof:
        query = sql.SQL(
            "SELECT pg_catalog.count(*), COALESCE(pg_catalog.sum({}), 0) FROM ONLY {} AS _r"
        ).format(row_hash, table)
        row = self._connection.execute(query.as_bytes(None) + b" " + condition.encode()).fetchone()
        assert row is not None  # noqa: S101 - an aggregate returns one row
        return TableProof(rows=row[0], hash=int(row[1]) % _MODULUS, tree=tree)

    def sequences(self) -> dict[str, tuple[int, bool]]:
        values = {}
        for schema, name in self.rows(SEQUENCES):
            query = sql.SQL("SELECT last_value, is_called FROM {}").format(sql.Identifier(schema, name))
            row = self._connection.execute(query).fetchone()
            assert row is not None  # noqa: S101 - a sequence has one row
            values[plain_name(schema, name)] = (row[0], row[1])
        return values

    def large_objects(self) -> dict[int, LargeObjectProof]:
        return {
            oid: LargeObjectProof(
                owner=owner, acl=acl, comment=comment, size=size, hash=int(total) % _MODULUS
            )
            for oid, owner, acl, comment, size, total in self.rows(LARGE_OBJECTS)
        }

    def properties(self) -> DatabaseProperties:
        values = dict(zip(DatabaseProperties.model_fields, self.rows(DATABASE)[0], strict=True))
        return DatabaseProperties.model_validate(values)


def take_proof(
    connection: psycopg.Connection[TupleRow],
    database: str,
    schema_sql: str,
    sequences: dict[str, tuple[int, bool]] | None = None,
) -> DatabaseProof:
    """The proof of what `connection` sees: in the dump's snapshot, or after a restore.

    `sequences` are the values in the dump: sequences are not part of a snapshot, so the dump may
    hold a later value than the proof's session would see. None reads them from the database.
    """
    reader = _Reader(connection)
    properties = reader.properties()
    return DatabaseProof(
        database=database,
        properties=properties,
        tables=reader.tables(properties.encoding),
        sequences=reader.sequences() if sequences is None else sequences,
        large_objects=reader.large_objects(),
        unpopulated=tuple(plain_name(*row) for row in reader.rows(UNPOPULATED)),
        schema_sql=schema_sql,
    )
