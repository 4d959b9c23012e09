"""Which proofs of rows still hold, though they were taken before the last statement of a restore."""

from __future__ import annotations

import time
from collections.abc import Mapping

import psycopg
from psycopg.rows import TupleRow

from engine.postgres.proof import TableProof, plain_name

_OTHERS = """
SELECT count(*) FROM pg_catalog.pg_stat_activity
 WHERE datname = pg_catalog.current_database() AND pid <> pg_catalog.pg_backend_pid() AND backend_type = 'client backend'
"""
_COUNTED = """
SELECT schemaname, relname, n_tup_ins, n_tup_upd, n_tup_del FROM pg_catalog.pg_stat_all_tables
 WHERE pg_catalog.current_setting('track_counts')::bool
   AND pg_catalog.current_setting('server_version_num')::int >= 150000
"""
"""From PostgreSQL 15 on a session has told what it wrote when it is gone (pgstat.c); before, the news could be lost."""
_PATIENCE_SECONDS, _PAUSE_SECONDS = 2.0, 0.01


def unchanged(
    connection: psycopg.Connection[TupleRow], rows: Mapping[str, TableProof]
) -> dict[str, TableProof]:
    """Those of `rows` whose tables were written once: as many rows as were proven went in, and nothing else happened.

    A function that a constraint, an index or a view calls may write anywhere. No other session may be at work in
    this database; as long as one is, nothing is said.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while connection.execute(_OTHERS).fetchall()[0][0]:
        if time.monotonic() > deadline:
            return {}
        time.sleep(_PAUSE_SECONDS)
    counted = {plain_name(schema, name): told for schema, name, *told in connection.execute(_COUNTED)}
    return {name: proof for name, proof in rows.items() if counted.get(name) == [proof.rows, 0, 0]}
