"""A database on another host, and the engine run as a process that can be killed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from psycopg.conninfo import make_conninfo

from engine.config.settings import ServerSettings
from engine.hosts.base import Route
from engine.postgres.server import Server

ROOT = Path(__file__).parents[3]
ROWS = 500
FILL = (
    "CREATE TABLE public.word (id int PRIMARY KEY, said text NOT NULL)",
    f"INSERT INTO public.word SELECT n, md5(n::text) FROM generate_series(1, {ROWS}) n",
)
_RUN = """
import sys
from pathlib import Path
from engine.config.settings import ServerSettings
from engine.postgres.server import Server
from tests.engine.postgres.backups import back_up, store_in
server = Server("away", ServerSettings.model_validate_json(sys.argv[1]))
back_up(server, store_in(Path(sys.argv[2])), ["app"], cluster=False)
"""


def server_at(where: str, host: str, port: int = 5432, **settings: object) -> Server:
    values = {"store": "nightly", "where": where, "host": host, "port": port, **settings}
    return Server("away", ServerSettings.model_validate(values))


def filled(server: Server) -> None:
    """Make the database `app` with a table of `ROWS` rows."""
    with server.connect() as connection:
        connection.execute("CREATE DATABASE app TEMPLATE template0")
    with server.connect("app") as connection:
        for statement in FILL:
            connection.execute(statement.encode())


@contextmanager
def engine_process(server: Server, store: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A backup of `app` in a process of its own."""
    argv = [sys.executable, "-c", _RUN, server.settings.model_dump_json(), str(store)]
    with subprocess.Popen(argv, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


def conninfo_of(route: Route, **more: str) -> str:
    """For psycopg, as the superuser."""
    return make_conninfo("", **{"user": "postgres", "dbname": "postgres", **route.parameters, **more})


def eventually(condition: Callable[[], bool], what: str, seconds: float = 40) -> None:
    """Wait until `condition` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
