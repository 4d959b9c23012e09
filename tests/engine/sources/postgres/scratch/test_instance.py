"""A server of our own: private, found again by its values alone, and never mistaken for another."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from engine.errors import ConfigurationError, OperationFailed
from engine.sources.postgres.programs.account import account
from engine.sources.postgres.programs.installed import server_programs
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.scratch.socket_and_port import check_socket_path, free_port, server_folder

PASSWORD = "it's a \\ canary"
SLEEP = ["sleep", "60"]
QUICK = {"fsync": "off", "shared_buffers": "16MB", "autovacuum": "off"}


@pytest.fixture
def server(server_base: Path) -> Iterator[Instance]:
    """One that listens on TCP, made and not started."""
    instance = Instance(
        server_base / "pg",
        server_programs(16),
        port=free_port(20000 + os.getpid() % 10000),
        superuser="the owner",
        listen="127.0.0.1",
        settings=QUICK,
    )
    instance.create(password=PASSWORD, checksums=True, sync=False)
    yield instance
    instance.remove()


def one(conninfo: str, query: str) -> object:
    with psycopg.connect(conninfo) as connection:
        row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return row[0]


def test_its_life(server: Instance) -> None:
    assert (server.exists, server.running(), server.stop()) == (True, None, False)
    identity = server.start()
    assert (server.running(), server.start()) == (identity, identity)
    assert one(server.conninfo(), "SELECT current_user") == "the owner"
    assert one(server.conninfo(), "SHOW data_checksums") == "on"
    assert one(server.conninfo(), "SHOW autovacuum") == "off"
    assert one(server.conninfo("template1", application_name="a b'c\\"), "SHOW application_name") == "a b'c\\"
    assert server.stop() is True
    assert (server.running(), identity.alive()) == (None, False)
    assert "database system is shut down" in server.log.read_text()
    server.start()
    assert one(server.conninfo(), "SELECT 1") == 1


def test_tcp_asks_for_the_password(server: Instance) -> None:
    server.start()
    assert one(server.conninfo(host="127.0.0.1", password=PASSWORD), "SELECT 1") == 1
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.conninfo(host="127.0.0.1", password="another"))
    assert not (server.folder / "password").exists()


def test_it_is_private(server: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "a secret of the caller")
    process = psutil.Process(server.start().pid)
    assert process.uids().real == account()[0] != 0
    assert process.gids().effective == account()[1]
    assert "CANARY" not in process.environ()
    assert PASSWORD not in " ".join(process.cmdline())
    assert stat.S_IMODE(server.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(server.data.stat().st_mode) == 0o700
    assert stat.S_IMODE(server.log.stat().st_mode) == 0o600
    files = [path for path in server.data.rglob("*") if path.is_file()]
    assert [path for path in files if path.stat().st_mode & 0o077] == []


def test_another_process_finds_and_ends_it(server: Instance) -> None:
    code = (
        "import sys; from pathlib import Path; from engine.sources.postgres.scratch.instance import Instance;"
        "print(Instance(Path(sys.argv[1]), Path(sys.argv[2])).stop())"
    )
    identity = server.start()
    command = [sys.executable, "-c", code, str(server.folder), str(server.programs)]
    assert subprocess.check_output(command, text=True) == "True\n"
    assert (identity.alive(), server.running()) == (False, None)


def test_it_outlives_the_process_that_started_it(server: Instance) -> None:
    code = (
        "import sys; from pathlib import Path; from engine.sources.postgres.scratch.instance import Instance;"
        "print(Instance(Path(sys.argv[1]), Path(sys.argv[2])).start().pid)"
    )
    command = [sys.executable, "-c", code, str(server.folder), str(server.programs)]
    pid = int(subprocess.check_output(command, text=True))
    running = server.running()
    assert running is not None
    assert running.pid == pid
    assert one(server.conninfo(port=5432), "SELECT 1") == 1


def test_after_a_kill_it_starts_again(server: Instance) -> None:
    identity = server.start()
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (id int)")
    os.kill(identity.pid, signal.SIGKILL)
    assert identity.wait(10)
    assert server.running() is None
    again = server.start()
    assert again != identity
    assert one(server.conninfo(), "SELECT count(*) FROM kept") == 0


def test_a_stale_pid_file_names_nobody(server: Instance) -> None:
    with subprocess.Popen(SLEEP) as other:
        (server.data / "postmaster.pid").write_text(f"{other.pid}\n{server.data}\n")
        assert (server.running(), server.stop()) == (None, False)
        assert other.poll() is None
        other.kill()


def test_a_second_server_is_not_made_over_the_first(server: Instance) -> None:
    with pytest.raises(ConfigurationError, match="holds a server already"):
        server.create()


def test_what_a_killed_initdb_left_is_replaced(server_base: Path) -> None:
    instance = Instance(server_base / "pg", server_programs(16), settings=QUICK)
    (instance.folder / "data.part").mkdir(parents=True)
    (instance.folder / "data.part" / "PG_VERSION").write_text("16\n")
    assert instance.exists is False
    instance.create(sync=False)
    assert (instance.exists, (instance.folder / "data.part").exists()) == (True, False)


def test_a_failed_start_shows_the_log_and_leaves_no_process(server_base: Path) -> None:
    instance = Instance(server_base / "pg", server_programs(16), settings={"shared_buffers": "a lot"})
    instance.create(sync=False)
    with pytest.raises(OperationFailed, match=r"ended at once; .*invalid value for parameter \"shared_buffers\""):
        instance.start()
    assert instance.running() is None


def test_a_busy_port_is_said_so(server: Instance) -> None:
    with socket.create_server(("127.0.0.1", server.port)):
        with pytest.raises(OperationFailed, match="Address already in use"):
            server.start()
        assert free_port(server.port) > server.port


def test_an_unknown_locale_is_said_so(server_base: Path) -> None:
    instance = Instance(server_base / "pg", server_programs(16))
    with pytest.raises(OperationFailed, match=r"could not be made .*invalid locale name \"xx_XX.UTF-8\""):
        instance.create(locale="xx_XX.UTF-8")


def test_a_path_too_long_for_a_socket_goes_elsewhere(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 100)
    with pytest.raises(ConfigurationError, match="too long for a Unix socket"):
        check_socket_path(long)
    elsewhere = server_folder(long)
    assert elsewhere == server_folder(long) != server_folder(long.with_name("y" * 100))
    check_socket_path(elsewhere)


def test_a_good_place_is_kept(server_base: Path) -> None:
    assert server_folder(server_base / "deep" / "pg") == server_base / "deep" / "pg"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers run as another user")
def test_a_folder_closed_to_the_servers_account_goes_elsewhere(server_base: Path) -> None:
    server_base.chmod(0o700)
    with pytest.raises(ConfigurationError, match="closed to the account PostgreSQL runs with"):
        check_socket_path(server_base / "pg")
    assert not server_folder(server_base / "pg").is_relative_to(server_base)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's folder")
def test_a_folder_of_another_user_is_refused(server_base: Path) -> None:
    folder = server_base / "pg"
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        Instance(folder, server_programs(16)).create()
