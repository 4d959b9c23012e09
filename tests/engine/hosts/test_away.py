"""A whole backup and its drill, of servers that publish nothing: in containers, and over SSH."""

from __future__ import annotations

import os
import secrets
import signal
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from engine.errors import ConfigurationError, OperationFailed, TransientFailure
from engine.hosts.settings import HostSettings
from engine.sources.postgres.backup.survey import survey
from engine.sources.postgres.facts import DatabaseFacts
from engine.sources.postgres.programs.wheel import folders
from engine.sources.postgres.restore.restore import RestoreChoice, restore_databases
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.server.lock import WORKER, backup_lock
from engine.sources.postgres.server.server import Server
from tests.conftest import MAJOR
from tests.engine.hosts.away import ROWS, engine_process, eventually, filled, server_at
from tests.engine.hosts.conftest import Started
from tests.engine.hosts.engines import Engine
from tests.engine.hosts.parts import lines_about
from tests.engine.hosts.sshd import Sshd
from tests.engine.hosts.test_container import lines_in
from tests.engine.sources.postgres.backups import back_up, drill, store_in, stored_files

SOCKET = "/var/run/postgresql"


def over_ssh(sshd: Sshd, instance: Instance, **more: Any) -> Server:
    """A server that listens to its socket alone, on the machine that sshd lets us into."""
    settings = {"tools": str(folders()[0])} | more
    return server_at(sshd.settings, str(instance.socket), instance.port, **settings)


def in_container(engine: Engine, name: str) -> HostSettings:
    return HostSettings(where=f"container:{name}", docker_host=engine.url)


@contextmanager
def watched(canary: str) -> Iterator[list[str]]:
    """Every command line of this machine that shows `canary` while the block runs."""
    seen: list[str] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.01):
            seen.extend(lines_about(canary))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def proven(server: Server, folder: Path) -> DatabaseFacts:
    """Back up `app`, drill its set, restore it beside the live one, and give the facts of its manifest."""
    repository = store_in(folder)
    made = back_up(server, repository, ["app"], cluster=False)
    report = drill(repository, made.key("app"), docker_host=server.host_settings.docker_host)
    assert (report.result, report.compared[0].counts["row"]) == ("passed", ROWS)
    facts = made.facts("app")
    own = (
        f"a container of the source's own image, {facts.image}"
        if facts.image
        else f"a scratch server of this host, PostgreSQL {MAJOR}"
    )
    assert report.remarks["restored into"].startswith(own)
    [restored] = restore_databases(repository, server, (RestoreChoice("app", made.key("app")),))
    assert restored.rows == ROWS
    with server.connect() as connection:
        connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(restored.name)))
    return facts


@pytest.mark.parametrize(
    ("address", "options"),
    [
        (SOCKET, {}),
        ("127.0.0.1", {"listen": "127.0.0.1"}),
    ],
)
def test_in_a_container_that_publishes_nothing(
    engine: Engine,
    postgres_in: Started,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    options: dict[str, str],
) -> None:
    canary = f"canary{secrets.token_hex(8)}"
    monkeypatch.setenv("CANARY", canary)
    found = postgres_in(engine, password=canary, auth="scram-sha-256", **options)
    server = server_at(in_container(engine, str(found.name)), address, password="env:CANARY")
    filled(server)
    with watched(canary) as seen:
        facts = proven(server, tmp_path / "store")
    assert seen == []
    assert (facts.image, facts.client_version) == (found.attrs["Image"], facts.server_version)


def test_over_ssh(sshd: Sshd, empty_server: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = f"canary{secrets.token_hex(8)}"
    monkeypatch.setenv("CANARY", canary)
    # Over there is what dumps and nothing that restores: that runs here.
    tools = tmp_path / "tools"
    tools.mkdir()
    for program in ("pg_dump", "pg_dumpall"):
        (tools / program).symlink_to(folders()[0] / program)
    server = over_ssh(sshd, empty_server, password="env:CANARY", tools=str(tools))
    filled(server)
    with watched(canary) as seen:
        facts = proven(server, tmp_path / "store")
    assert seen == []
    assert (facts.image, facts.client_version) == (None, facts.server_version)


def test_a_whole_cluster_over_ssh(sshd: Sshd, empty_server: Instance, tmp_path: Path) -> None:
    server = over_ssh(sshd, empty_server)
    filled(server)
    repository = store_in(tmp_path / "store")
    made = back_up(server, repository)
    assert drill(repository, made.cluster_key).result == "passed"
    names = sorted(stored_files(repository, made.cluster_key))
    assert [name for name in names if name.endswith(".sql.gz")] == [
        "000-globals.sql.gz",
        "001-template1.sql.gz",
        "002-app.sql.gz",
        "003-postgres.sql.gz",
    ]


def test_no_pg_dump_there(sshd: Sshd, postgres_server: Instance, tmp_path: Path) -> None:
    server = over_ssh(sshd, postgres_server, tools=str(tmp_path))
    with pytest.raises(ConfigurationError) as caught:
        survey(server)
    place = sshd.where.removeprefix("ssh:")
    assert str(caught.value) == (
        f"The server is PostgreSQL 16 and there is no pg_dump with pg_dumpall on {place}; install the client "
        f"programs of 16 there, or set `tools` to the folder on {place} that has them."
    )


def test_too_old_a_pg_dump_there(sshd: Sshd, postgres_server: Instance, tmp_path: Path) -> None:
    for name in ("pg_dump", "pg_dumpall"):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)'\n", encoding="utf8")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    server = over_ssh(sshd, postgres_server, tools=str(tmp_path))
    with pytest.raises(ConfigurationError) as caught:
        survey(server)
    place = sshd.where.removeprefix("ssh:")
    assert str(caught.value) == (
        f"The server is PostgreSQL 16 and there is pg_dump of 15.13 only on {place}; install the client "
        f"programs of 16 there, or set `tools` to the folder on {place} that has them."
    )


def test_a_database_that_is_unknown_or_a_server_that_is_down(sshd: Sshd, postgres_server: Instance) -> None:
    with pytest.raises(ConfigurationError, match=r'^Database \'nope\' of away .* database "nope" does not exist'):
        over_ssh(sshd, postgres_server).connect("nope")
    down = server_at(sshd.settings, "127.0.0.1", 1)
    with pytest.raises(TransientFailure, match=r" reaches nothing at 127\.0\.0\.1:1; "):
        down.connect()


def test_a_stopped_pg_dump_there_is_ended_by_the_watchdog(sshd: Sshd, empty_server: Instance, tmp_path: Path) -> None:
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in ("pg_dump", "pg_dumpall"):
        program = folder / name
        stop = 'case "$*" in *--version*) ;; *) kill -STOP $$;; esac; ' if name == "pg_dump" else ""
        program.write_text(f'#!/bin/sh\n{stop}exec {folders()[0]}/{name} "$@"\n', encoding="utf8")
        program.chmod(0o755)
    server = over_ssh(sshd, empty_server, tools=str(folder), stall_minutes=0.05)
    filled(server)
    repository = store_in(tmp_path / "store")
    with pytest.raises(TransientFailure) as caught:
        back_up(server, repository, ["app"], cluster=False)
    place = sshd.where.removeprefix("ssh:")
    assert str(caught.value) == (
        f"pg_dump of 'app' on {place} gave no byte for 3 s and was ended; look at locks and load."
    )
    assert list(repository.store.list("")) == []
    eventually(lambda: lines_about(str(folder)) == [], "it is still there")


def own_tools(folder: Path) -> str:
    """A path to the programs that no other process of this machine goes."""
    (folder / "programs").symlink_to(folders()[0])
    return str(folder / "programs")


def blocked(server: Server) -> Any:
    """A session that holds up pg_dump."""
    connection = server.connect("app", autocommit=False)
    connection.execute("LOCK TABLE public.word IN ACCESS EXCLUSIVE MODE")
    return connection


def test_kill_9_of_the_engine_leaves_nothing_over_ssh(sshd: Sshd, empty_server: Instance, tmp_path: Path) -> None:
    tools = own_tools(tmp_path)
    server = over_ssh(sshd, empty_server, tools=tools)
    filled(server)
    mine = f"{tools}/pg_dump --format=custom --compress=1 "
    with blocked(server), engine_process(server, tmp_path / "store") as process:
        eventually(lambda: any(line.startswith(mine) for line in lines_about(mine)), "no pg_dump")
        process.send_signal(signal.SIGKILL)
        process.wait()
        eventually(lambda: not any(line.startswith(mine) for line in lines_about("--snapshot=")), "it runs on")
    proven(server, tmp_path / "store")


def test_kill_9_of_the_engine_leaves_nothing_in_a_container(
    engine: Engine, postgres_in: Started, tmp_path: Path
) -> None:
    found = postgres_in(engine, password="x")
    server = server_at(in_container(engine, str(found.name)), SOCKET)
    filled(server)
    with blocked(server), engine_process(server, tmp_path / "store") as process:
        eventually(lambda: bool(lines_in(found, "--snapshot=")), "no pg_dump")
        process.send_signal(signal.SIGKILL)
        process.wait()
        eventually(lambda: lines_in(found, "--snapshot=") == [], "it runs on")
    proven(server, tmp_path / "store")


def test_what_no_connection_has_ended_the_next_run_does(sshd: Sshd, empty_server: Instance) -> None:
    """A host that vanished (no FIN comes): its pg_dump waits on, until the lock's next holder."""
    server = over_ssh(sshd, empty_server)
    filled(server)
    variables = {name: value for name, value in server.dump_variables(WORKER).items() if value is not None}
    environment = {"PATH": os.environ["PATH"], **variables}
    with blocked(server):
        left = os.posix_spawn(f"{folders()[0]}/pg_dump", ["pg_dump", "--file=/dev/null", "--dbname=app"], environment)
        with server.connect() as connection:
            query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
            eventually(lambda: connection.execute(query, (WORKER,)).fetchone() == (1,), "no pg_dump")
        os.kill(left, signal.SIGSTOP)
        with backup_lock(server):
            assert os.waitpid(left, 0) == (left, signal.SIGKILL)
            with server.connect() as connection:
                eventually(lambda: connection.execute(query, (WORKER,)).fetchone() == (0,), "its session is there")


def test_a_connection_that_breaks_while_it_dumps(sshd: Sshd, empty_server: Instance, tmp_path: Path) -> None:
    tools = own_tools(tmp_path)
    server = over_ssh(sshd, empty_server, tools=tools)
    filled(server)
    repository = store_in(tmp_path / "store")

    def cut() -> None:
        eventually(lambda: bool(lines_about(f"{tools}/pg_dump --format")), "no pg_dump")
        host: Any = server.host
        host._transport().sock.close()

    with psycopg.connect(empty_server.conninfo("app")) as holder:
        holder.execute("LOCK TABLE public.word IN ACCESS EXCLUSIVE MODE")
        thread = threading.Thread(target=cut)
        thread.start()
        with pytest.raises(OperationFailed) as caught:
            back_up(server, repository, ["app"], cluster=False)
        thread.join()
    assert isinstance(caught.value, TransientFailure)
    assert list(repository.store.list("")) == []
    proven(server, tmp_path / "store")
