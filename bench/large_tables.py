"""The databases of large tables that restores are measured with."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
from psycopg.rows import TupleRow

from engine.sources.postgres.scratch.instance import Instance

SEVERAL, LARGE = "bench_several", "bench_large"
"""A database of three large tables, and one of a single table as large as those together."""
# Words, numbers, times and documents, with the indexes and the foreign key such tables have: about 185
# bytes a row as SQL. Indexes and constraints are 60 % of the server's work when it is restored.
_TABLE = """
CREATE TABLE {name} (id bigint NOT NULL, parent bigint, account integer NOT NULL, at timestamptz NOT NULL,
    amount numeric(12, 2), title text NOT NULL, detail jsonb);
INSERT INTO {name} SELECT i, 1 + abs(hashint8(i)::bigint) % {rows}, abs(hashint8(i)::bigint) % 50000,
    timestamptz '2024-01-01 00:00:00+00' + i * interval '7.123 seconds', (hashint8(i + 1)::bigint % 10000000) / 100.0,
    'order ' || i || ' for ' || md5((i % 7000)::text),
    jsonb_build_object('state', (ARRAY['new', 'paid', 'sent', 'back'])[1 + i % 4], 'lines', i % 9, 'key', md5(i::text))
FROM generate_series(1, {rows}) AS i;
ALTER TABLE {name} ADD PRIMARY KEY (id);
ALTER TABLE {name} ADD FOREIGN KEY (parent) REFERENCES orders (id);
CREATE INDEX ON {name} (parent);
CREATE INDEX ON {name} (account, at);
CREATE INDEX ON {name} (title);
CREATE INDEX ON {name} (at);
"""
_ROWS = 1_000_000


def load_tables(server: Instance, scale: float, progress: Callable[[str], None]) -> None:
    """Make both databases; what is there already is left as it is."""
    rows = int(_ROWS * scale)
    _load_database(server, SEVERAL, dict.fromkeys(("orders", "payments", "shipments"), rows // 3), progress)
    _load_database(server, LARGE, {"orders": rows}, progress)


def _load_database(server: Instance, name: str, tables: dict[str, int], progress: Callable[[str], None]) -> None:
    loading = f"loading_{name}"
    with _connected(server) as admin:
        if admin.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchall():
            return
        admin.execute(f'DROP DATABASE IF EXISTS "{loading}" WITH (FORCE)'.encode())
        admin.execute(f'CREATE DATABASE "{loading}" TEMPLATE template0'.encode())
    with _connected(server, loading) as connection:
        connection.execute("SET synchronous_commit = off")
        for table, rows in tables.items():
            progress(f"{name}: {table}")
            connection.execute(_TABLE.format(name=table, rows=rows).encode())
        connection.execute("VACUUM (ANALYZE)")
    with _connected(server) as admin:
        admin.execute(f'ALTER DATABASE "{loading}" RENAME TO "{name}"'.encode())


def _connected(server: Instance, database: str = "postgres") -> psycopg.Connection[TupleRow]:
    return psycopg.connect(server.conninfo(database), autocommit=True)
