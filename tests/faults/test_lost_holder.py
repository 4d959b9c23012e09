"""The lock's session on the side of the server: a host that lost its power does not hold the lock for hours."""

from __future__ import annotations

import time
from pathlib import Path

import psycopg

from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.server.lock import HOLDER, backup_lock
from engine.sources.postgres.server.server import Server
from engine.sources.postgres.settings import ServerSettings
from tests.engine.cli.conftest import PASSWORD

_KEEPALIVE, _JIFFIES = "02", 100


def _next_keepalive_seconds(port: int, peer: int) -> float | None:
    """When the kernel asks next whether the other end of the connection is there (/proc/net/tcp, proc(5)).

    None: another timer runs, such as that of an answer that is not acknowledged yet.
    """
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, _, timer, *_ = line.split()
        if (int(local.split(":")[1], 16), int(remote.split(":")[1], 16)) == (port, peer):
            active, when = timer.split(":")
            return int(when, 16) / _JIFFIES if active == _KEEPALIVE else None
    raise AssertionError("there is no such connection")


def _soon(port: int, peer: int) -> float:
    deadline = time.monotonic() + 20
    while (seconds := _next_keepalive_seconds(port, peer)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return seconds


def test_the_server_asks_soon_whether_the_holder_is_there(password_server: Instance, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    settings = ServerSettings(host="127.0.0.1", port=password_server.port, password=f"file:{secret}", store="nightly")
    who = "SELECT client_port FROM pg_stat_activity WHERE application_name = %s"
    with (
        backup_lock(Server("platform", settings)),
        psycopg.connect(password_server.conninfo()) as connection,
    ):
        [(peer,)] = connection.execute(who, (HOLDER,)).fetchall()
        assert _soon(password_server.port, int(str(peer))) <= 30
