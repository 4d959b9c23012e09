"""The bench's own server with data, its store and its configuration, in one folder per scale.

`eval "$(.venv/bin/python -m bench.testbed start)"` starts it and sets libpq's variables, so that every
command in results.json can be run by hand; `.venv/bin/python -m bench.testbed stop` ends it.
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

from bench.config import write_config
from bench.large_tables import load_tables
from demo.dataset import load
from engine.sources.postgres.programs import installed as installed
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.scratch.socket_and_port import server_folder

MAJOR = 16
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


@dataclass(frozen=True)
class Testbed:
    """One server of the bench with its store.

    `kind` says what is in it: `mixed` (the platform's databases), `tables` (those of
    large_tables.py, for restores) or any other word for nothing.
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
        return installed.client_programs(MAJOR)

    @property
    def server(self) -> Instance:
        folder = server_folder(self.folder / "postgres")
        return Instance(folder, installed.server_programs(MAJOR), settings=SETTINGS)

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
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))

    def clear_store(self) -> None:
        shutil.rmtree(self.store, ignore_errors=True)

    def remove(self) -> None:
        self.server.remove()
        shutil.rmtree(self.folder, ignore_errors=True)


def prepare(testbed: Testbed) -> None:
    """Make, start and fill the server; what is there already is left as it is."""
    _start(testbed)
    if testbed.kind == "mixed":
        load(testbed.server.conninfo(), scale=testbed.scale, progress=_say)
    elif testbed.kind == "tables":
        load_tables(testbed.server, testbed.scale, _say)
    with testbed.connect() as connection:
        connection.execute("CHECKPOINT")


def _start(testbed: Testbed) -> None:
    testbed.folder.mkdir(parents=True, exist_ok=True)
    if not testbed.server.exists:
        testbed.server.create(sync=False)
    testbed.server.start()
    write_config(testbed.config, testbed.server, testbed.store, testbed.identity)


@contextmanager
def running(testbed: Testbed, *, keep: bool) -> Iterator[Testbed]:
    """The server runs with its data while the block does; afterwards it is gone unless `keep`."""
    if not keep:
        testbed.remove()
    try:
        prepare(testbed)
        yield testbed
    finally:
        testbed.server.stop()
        if not keep:
            testbed.remove()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.testbed", description=__doc__)
    parser.add_argument("do", choices=("start", "stop", "remove"))
    parser.add_argument("--scale", type=float, default=SCALE, help=f"factor of the data (default {SCALE:g})")
    parser.add_argument("--kind", default="mixed", choices=("mixed", "tables"), help="which data")
    options = parser.parse_args(arguments)
    testbed = Testbed(options.scale, options.kind)
    if options.do == "start":
        prepare(testbed)
        for name in ("PATH", "PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PLATFORM_OPS_CONFIG"):
            print(f"export {name}={shlex.quote(testbed.environment[name])}")
    elif options.do == "stop":
        testbed.server.stop()
    else:
        testbed.remove()
    return 0


if __name__ == "__main__":
    sys.exit(main())
