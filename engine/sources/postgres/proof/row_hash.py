"""The SQL of a row's hash, and of whether a row is in the sample: both by names and values alone.

The hash of a row is 64 bits over the binary form of its columns by name: `record_send` keeps what
equality hides (1.0 and 1.00, -0.0, trailing blanks), and hashing the whole form in one call is not
linear in the columns, so values that changed places between rows are found. Types whose binary form
may change in a correct restore go as text, under fixed session settings: enums, reg*, composites and
types of extensions carry oids, an array may or may not have a bitmap of NULLs, a float may be a NaN
of either sign. Oids below 10000 are fixed in PostgreSQL's source (transam.h, FirstGenbkiObjectId).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

_SAMPLE_SEED = 1
"""Another one than the row's own hash has: which rows are chosen says nothing about what is added up."""


@dataclass(frozen=True, slots=True)
class Table:
    """A row of the catalogue query `TABLES`. `root` is the oid of the hash-partitioned tree it is in, if any;
    `condition` is SQL that follows the table's name ('' for all rows); `unreadable`: unlogged, and this is a standby,
    where such a table has no rows and pg_dump leaves it empty."""

    oid: int
    schema: str
    name: str
    root: int | None
    root_schema: str
    root_name: str
    condition: str
    unreadable: bool


def table_query(
    table: Table,
    columns: Sequence[tuple[Any, ...]],
    domains: frozenset[str],
    key: frozenset[str] | None,
    percent: int,
) -> sql.Composable:
    """The query of a table's number of rows and the sum of their hashes; its condition is to follow.

    With `key`, the columns of a primary key, only the rows of the sample are in the sum.
    """
    chosen: sql.Composable = sql.SQL("")
    if key:
        by_key = in_sample([column for column in columns if column[1] in key], domains, percent)
        chosen = sql.SQL(" FILTER (WHERE {})").format(by_key)
    return sql.SQL("SELECT pg_catalog.count(*), COALESCE(pg_catalog.sum({}){}, 0) FROM ONLY {} AS _r").format(
        row_hash(columns, domains), chosen, sql.Identifier(table.schema, table.name)
    )


def row_hash(columns: Iterable[tuple[Any, ...]], domains: frozenset[str], seed: int = 0) -> sql.Composable:
    """The hash of a row `_r`. `columns` are rows of the catalogue query, sorted by name."""
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
    return sql.SQL("pg_catalog.hash_record_extended(ROW(pg_catalog.record_send(ROW({}))), {})").format(
        sql.SQL(", ").join(binary), sql.Literal(seed)
    )


def in_sample(key_columns: Iterable[tuple[Any, ...]], domains: frozenset[str], percent: int) -> sql.Composable:
    """Whether a row `_r` belongs to the sample: by its primary key's values, so the same rows after a restore."""
    key = row_hash(key_columns, domains, _SAMPLE_SEED)
    return sql.SQL("pg_catalog.mod({} & 9223372036854775807, 100) < {}").format(key, sql.Literal(percent))
