"""The bench's own server with data, its store and its configuration, in one folder per scale.

`eval "$(.venv/bin/python -m bench.place start)"` starts it and sets libpq's variables, so that every
command in results.json can be run by hand; `.venv/bin/python -m bench.place stop` ends it.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from pyrage import x25519

from demo.dataset import load
from engine.postgres import embedded
from engine.postgres.instance import Instance
from engine.postgres.place import server_folder

MAJOR = 16
SEVERAL, LARGE = "bench_several", "bench_large"
"""A database of three large tables, and one of a single table as large as those together."""
SERVER = "bench"
HERE = Path(__file__).parent
DATA = HERE / "data"
SCALE = 6.0
"""1.3 GB of databases, 1.05 GB as SQL."""

# A small production server's: durable, with room for its working set.
SETTINGS = {
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "max_connections": "100",
    "maintenance_work_mem": "128MB",
    "autovacuum": "off",  # or it would run in one lap and not in the next
}
_TEMPLATE = """\
[servers.{server}]
host = "{host}"
port = {port}
store = "{server}"

[stores.{server}]
kind = "folder"
path = "{store}"
recipients = ["{recipient}"]
identity = "file:{identity}"
"""


@dataclass(frozen=True)
class Place:
    """One server of the bench with its store.

    `kind` says what is in it: `mixed` (the platform's databases), `tables` (SEVERAL and LARGE, for
    restores) or any other word for nothing.
    """

    scale: float
    kind: str = "mixed"

    @property
    def folder(self) -> Path:
        return DATA / f"{self.kind}-{self.scale:g}"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def config(self) -> Path:
        return self.folder / "platform-ops.toml"

    @property
    def identity(self) -> Path:
        return self.folder / "identity"

    @property
    def tools(self) -> Path:
        """The client programs, the very ones the engine uses."""
        return embedded.client_programs(MAJOR)

    @property
    def server(self) -> Instance:
        folder = server_folder(self.folder / "postgres")
        return Instance(folder, embedded.server_programs(MAJOR), settings=SETTINGS)

    @property
    def environment(self) -> dict[str, str]:
        """For the stock tools: they find this server and no other. Python keeps what it compiled, as it does by default."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "PYTHON"))}
        path = os.pathsep.join([str(self.tools), str(Path(sys.executable).parent), kept.get("PATH", "")])
        server = self.server
        return kept | {
            "PATH": path,
            "PGHOST": str(server.socket),
            "PGPORT": str(server.port),
            "PGUSER": server.superuser,
            "PGDATABASE": "postgres",
            "PLATFORM_OPS_CONFIG": str(self.config),
        }

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self.server.conninfo(database), autocommit=True)

    def databases(self) -> list[str]:
        """All that a dump of the whole server reads."""
        with self.connect() as connection:
            rows = connection.execute("SELECT datname FROM pg_database WHERE datallowconn ORDER BY 1")
            return [str(row[0]) for row in rows if row[0] != "template1"]

    def drop(self, database: str) -> None:
        with self.connect() as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database))
            )

    def clear_store(self) -> None:
        shutil.rmtree(self.store, ignore_errors=True)

    def remove(self) -> None:
        self.server.remove()
        shutil.rmtree(self.folder, ignore_errors=True)


def prepare(place: Place) -> None:
    """Make, start and fill the server; what is there already is left as it is."""
    _start(place)
    if place.kind == "mixed":
        load(place.server.conninfo(), scale=place.scale, progress=_say)
    elif place.kind == "tables":
        _load_tables(place)
    with place.connect() as connection:
        connection.execute("CHECKPOINT")


def _start(place: Place) -> None:
    place.folder.mkdir(parents=True, exist_ok=True)
    if not place.server.exists:
        place.server.create(sync=False)
    place.server.start()
    _write_config(place)


@contextmanager
def running(place: Place, *, keep: bool) -> Iterator[Place]:
    """The server runs with its data while the block does; afterwards it is gone unless `keep`."""
    if not keep:
        place.remove()
    try:
        prepare(place)
        yield place
    finally:
        place.server.stop()
        if not keep:
            place.remove()


def _write_config(place: Place) -> None:
    if not place.identity.exists():
        place.identity.write_text(f"{x25519.Identity.generate()}\n", encoding="utf8")
        place.identity.chmod(0o600)
    identity = x25519.Identity.from_str(place.identity.read_text(encoding="utf8").strip())
    text = _TEMPLATE.format(
        server=SERVER,
        host=place.server.socket,
        port=place.server.port,
        store=place.store,
        recipient=identity.to_public(),
        identity=place.identity,
    )
    place.config.write_text(text, encoding="utf8")


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


def _load_tables(place: Place) -> None:
    rows = int(_ROWS * place.scale)
    _load_database(place, SEVERAL, dict.fromkeys(("orders", "payments", "shipments"), rows // 3))
    _load_database(place, LARGE, {"orders": rows})


def _load_database(place: Place, name: str, tables: dict[str, int]) -> None:
    if name in place.databases():
        return
    loading = f"loading_{name}"
    place.drop(loading)
    with place.connect() as admin:
        admin.execute(f'CREATE DATABASE "{loading}" TEMPLATE template0'.encode())
    with place.connect(loading) as connection:
        connection.execute("SET synchronous_commit = off")
        for table, rows in tables.items():
            _say(f"{name}: {table}")
            connection.execute(_TABLE.format(name=table, rows=rows).encode())
        connection.execute("VACUUM (ANALYZE)")
    with place.connect() as admin:
        admin.execute(f'ALTER DATABASE "{loading}" RENAME TO "{name}"'.encode())


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.place", description=__doc__)
    parser.add_argument("do", choices=("start", "stop", "remove"))
    parser.add_argument("--scale", type=float, default=SCALE, help=f"factor of the data (default {SCALE:g})")
    parser.add_argument("--kind", default="mixed", choices=("mixed", "tables"), help="which data")
    options = parser.parse_args(arguments)
    place = Place(options.scale, options.kind)
    if options.do == "start":
        prepare(place)
        for name in ("PATH", "PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PLATFORM_OPS_CONFIG"):
            print(f"export {name}={shlex.quote(place.environment[name])}")
    elif options.do == "stop":
        place.server.stop()
    else:
        place.remove()
    return 0


if __name__ == "__main__":
    sys.exit(main())
