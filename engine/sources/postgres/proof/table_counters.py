"""Which proofs of rows still hold, though they were taken before the last statement of a restore."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from engine.sources.postgres.archive.names import plain_name
from engine.sources.postgres.proof.proof import TableProof
from engine.sources.postgres.proof.take_proof import prove_rows

_OTHERS = """
SELECT count(*) FROM pg_catalog.pg_stat_activity
 WHERE datname = pg_catalog.current_database() AND pid <> pg_catalog.pg_backend_pid() AND backend_type = 'client backend'
"""
_COUNTED = """
SELECT schemaname, relname, n_tup_ins, n_tup_upd, n_tup_del, pg_catalog.pg_relation_filenode(relid)::int8
  FROM pg_catalog.pg_stat_all_tables
 WHERE pg_catalog.current_setting('track_counts')::bool
   AND pg_catalog.current_setting('server_version_num')::int >= 150000
"""
"""From PostgreSQL 15 on a session has told what it wrote when it is gone (pgstat.c); before, the news could be lost."""
_PATIENCE_SECONDS, _PAUSE_SECONDS = 2.0, 0.01


@dataclass(frozen=True, slots=True)
class EarlyProof:
    """A proof, and the number of the file that its table's rows were in before they were read: TRUNCATE gives another."""

    table: TableProof
    file: int


def prove_early(connection: psycopg.Connection[TupleRow], table: bytes) -> dict[str, EarlyProof]:
    """The proof of all rows of one table, whose name is given as SQL; none where it could not be believed later."""
    try:
        own = f" AND relid = {sql.Literal(table.decode()).as_string(None)}::pg_catalog.regclass"
    except UnicodeDecodeError:
        return {}
    before = _counters(connection, own)
    proofs = prove_rows(connection, table)
    return {name: EarlyProof(proof, before[name][-1]) for name, proof in proofs.items() if name in before}


def unchanged(connection: psycopg.Connection[TupleRow], rows: Mapping[str, EarlyProof]) -> dict[str, TableProof]:
    """Those of `rows` whose tables were written once: as many rows as were proven went in, and nothing else happened.

    A function that a constraint, an index or a view calls may write anywhere, or empty a table. No other session may be
    at work in this database; as long as one is, nothing is said.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while connection.execute(_OTHERS).fetchall()[0][0]:
        if time.monotonic() > deadline:
            return {}
        time.sleep(_PAUSE_SECONDS)
    counters = _counters(connection)
    return {
        name: early.table for name, early in rows.items() if counters.get(name) == (early.table.rows, 0, 0, early.file)
    }


def _counters(connection: psycopg.Connection[TupleRow], condition: str = "") -> dict[str, tuple[int, ...]]:
    """What PostgreSQL has counted for each table, and the number of its file."""
    rows = connection.execute((_COUNTED + condition).encode())
    return {plain_name(schema, name): tuple(counters) for schema, name, *counters in rows}
