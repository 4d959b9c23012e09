"""What a set of one database asks of a restore with stock tools."""

from __future__ import annotations

import psycopg
from psycopg.rows import TupleRow

from engine.sources.postgres.server.server import READING_SETTINGS


def options_to_restore_with(connection: psycopg.Connection[TupleRow]) -> list[str]:
    """An archive cannot carry these: what the database sets would refuse it, or read its values differently."""
    rows = connection.execute(
        "SELECT u.item FROM pg_catalog.pg_db_role_setting s"
        " CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS u(item) WHERE s.setrole = 0 AND s.setdatabase ="
        " (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())"
    )
    is_set = {name.lower() for name, _, _ in (row[0].partition("=") for row in rows)}
    if connection.execute(
        "SELECT 1 FROM pg_catalog.pg_attribute WHERE atttypid = 'pg_catalog.money'::pg_catalog.regtype"
        " AND attrelid >= 16384 LIMIT 1"
    ).fetchone():
        is_set.add("lc_monetary")
    if connection.execute(
        "SELECT 1 FROM pg_catalog.pg_event_trigger WHERE evtenabled = 'O'"
        " AND evtevent IN ('ddl_command_start', 'ddl_command_end', 'login') LIMIT 1"
    ).fetchone():
        is_set.add("session_replication_role")
    needed = [name for name in READING_SETTINGS if name.lower() in is_set]
    options = " ".join(f"-c {name}={READING_SETTINGS[name]}" for name in needed)
    return [f'with pg_restore alone, set PGOPTIONS="{options}" (it sets or needs that)'] if needed else []
