"""A database on another host, and the engine run as a process that can be killed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import make_conninfo

from engine.hosts.base import Host
from engine.hosts.endpoints import Tunnel
from engine.hosts.settings import HostSettings
from engine.sources.postgres.server.endpoint import endpoint, way
from engine.sources.postgres.server.server import Server
from engine.sources.postgres.settings import ServerSettings

ROOT = Path(__file__).parents[3]
ROWS = 500
FILL = (
    "CREATE TABLE public.word (id int PRIMARY KEY, said text NOT NULL)",
    f"INSERT INTO public.word SELECT n, md5(n::text) FROM generate_series(1, {ROWS}) n",
)
_RUN = """
import sys
from pathlib import Path
from engine.hosts.settings import HostSettings
from engine.sources.postgres.server.server import Server
from engine.sources.postgres.settings import ServerSettings
from tests.engine.sources.postgres.backups import back_up, store_in
place = HostSettings.model_validate_json(sys.argv[2])
server = Server("away", ServerSettings.model_validate_json(sys.argv[1]), place)
back_up(server, store_in(Path(sys.argv[3])), ["app"], cluster=False)
"""


def server_at(host_settings: HostSettings, host: str, port: int = 5432, **settings: object) -> Server:
    """A server that is at `host` and `port` for what runs on that host."""
    values = {"store": "nightly", "host": host, "port": port, **settings}
    return Server("away", ServerSettings.model_validate(values), host_settings)


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
    argv = [
        sys.executable,
        "-c",
        _RUN,
        server.settings.model_dump_json(),
        server.host_settings.model_dump_json(),
        str(store),
    ]
    with subprocess.Popen(argv, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


@dataclass(frozen=True)
class Route:
    """The way to a database: a tunnel, and libpq's parameters for it."""

    tunnel: Tunnel
    parameters: dict[str, str]


def route(host: Host, address: str, port: int, *, trusted: bool) -> Route:
    tunnel = host.tunnel(endpoint(address, port), from_there=trusted)
    return Route(tunnel, way(address, port, tunnel))


def conninfo_of(found: Route, **more: str) -> str:
    """For psycopg, as the superuser."""
    return make_conninfo("", **{"user": "postgres", "dbname": "postgres", **found.parameters, **more})


def eventually(condition: Callable[[], bool], what: str, seconds: float = 40) -> None:
    """Wait until `condition` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
