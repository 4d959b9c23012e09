"""Programs and databases in containers of a real Docker and a real Podman."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import psycopg
import pytest
from docker.models.containers import Container as Found

from engine.errors import ConfigurationError, TransientFailure
from engine.hosts.container import Container
from engine.hosts.where import InContainer
from tests.engine.hosts.away import conninfo_of, eventually, route
from tests.engine.hosts.conftest import Started
from tests.engine.hosts.engines import Engine
from tests.engine.hosts.parts import lines_about

SOCKET = "/var/run/postgresql"
MARKS = {"PGAPPNAME": "platform-ops dump", "PGHOST": SOCKET, "PGPORT": "5432"}
SLEEP = ("psql", "--username=postgres", "--command=SELECT pg_sleep(300)")


HostOf = Callable[..., Container]


@pytest.fixture
def host_of() -> Iterator[HostOf]:
    """The host that a container is; closed after the test."""
    with ExitStack() as stack:

        def opened(engine: Engine, found: Found, user: str = "") -> Container:
            host = Container(InContainer(str(found.name), user), engine.url)
            stack.callback(host.close)
            return host

        yield opened


def lines_in(found: Found, text: str) -> list[str]:
    """The processes of a container whose command line holds `text`, but not the shell that waits for one."""
    output = found.exec_run(["ps", "-o", "args"]).output
    assert isinstance(output, bytes)
    shown = output.decode().splitlines()
    return [line for line in shown if text in line and not line.startswith(("sh -c", "ps "))]


def test_a_program_gets_its_arguments_and_environment_and_nothing_else(
    engine: Engine, postgres_in: Started, host_of: HostOf
) -> None:
    found = postgres_in(engine, password="x")
    host = host_of(engine, found)
    hostile = "a b'c\"d $HOME `id` \\ ! *"
    done = host.run(
        ("sh", "-c", 'printf "%s|%s|%s" "$1" "$PGPASSWORD" "$USER"; echo said >&2; exit 3', "x", hostile),
        env={"PGPASSWORD": hostile},
        timeout=30,
    )
    assert (done.code, done.stdout.decode(), done.stderr) == (3, f"{hostile}|{hostile}|", "said\n")
    assert host.run(("no-such-program",), env={}, timeout=30).code == 127
    assert host.image == found.attrs["Image"]
    assert (host.crosses_network, str(host)) == (False, f"container {found.name}")


def test_bytes_come_through_and_a_secret_is_seen_nowhere(engine: Engine, postgres_in: Started, host_of: HostOf) -> None:
    found = postgres_in(engine, password="x")
    host = host_of(engine, found)
    program = host.stream(("head", "-c", "20000000", "/dev/zero"), env={"PGPASSWORD": "canary-4712"})
    assert program.stdout is not None
    first = program.stdout.read(1)
    assert lines_about("canary-4712") == []
    found.reload()
    for exec_id in found.attrs["ExecIDs"] or ():
        assert "canary-4712" not in str(engine.client.api.exec_inspect(exec_id))
    size = len(first)
    while piece := program.stdout.read(1 << 20):
        assert piece.count(0) == len(piece) <= 1 << 20
        size += len(piece)
    assert (size, program.wait(20)) == (20_000_000, 0)


def test_what_is_killed_or_left_behind_ends_there(engine: Engine, postgres_in: Started, host_of: HostOf) -> None:
    found = postgres_in(engine, password="x")
    host = host_of(engine, found)
    killed = host.stream(SLEEP, env=MARKS)
    eventually(lambda: len(lines_in(found, "pg_sleep")) == 1, "it did not start")
    killed.kill()
    assert killed.wait() == -9
    eventually(lambda: lines_in(found, "pg_sleep") == [], "it runs on")
    left = host.stream(SLEEP, env=MARKS)
    eventually(lambda: len(lines_in(found, "pg_sleep")) == 1, "it did not start")
    assert host.end_leftovers(MARKS | {"PGPORT": "5433"}) == 0
    assert host.end_leftovers(MARKS) == 1
    assert left.stdout is not None
    assert (left.stdout.read(1), left.wait(20)) == (b"", -9)
    with pytest.raises(TransientFailure, match=r"^sleep in container .* took longer than 1 s and was ended; "):
        host.run(("sleep", "300"), env={}, timeout=1)


def test_what_the_server_has_inherited_is_left_alone(engine: Engine, postgres_in: Started, host_of: HostOf) -> None:
    """PostgreSQL is process 1 there: a child of it that a signal ends would end all of its sessions."""
    found = postgres_in(engine, password="x")
    marks = " ".join(f"'{name}={value}'" for name, value in MARKS.items())
    orphan = f"env {marks} pg_dump -U postgres -d postgres >/dev/null 2>&1 &"
    host = host_of(engine, found)
    with psycopg.connect(conninfo_of(route(host, SOCKET, 5432, trusted=True))) as holder:
        holder.execute("CREATE TABLE held (id int)")
        holder.commit()
        holder.execute("LOCK TABLE held")
        found.exec_run(["sh", "-c", orphan])
        eventually(lambda: len(lines_in(found, "pg_dump")) == 1, "it did not start")
        assert host.end_leftovers(MARKS, sparing="postgres") == 0
        assert holder.execute("SELECT 1").fetchone() == (1,)
    eventually(lambda: lines_in(found, "pg_dump") == [], "it runs on")


@pytest.mark.parametrize("way", ["socket", "loopback"])
def test_a_database_that_publishes_nothing(engine: Engine, postgres_in: Started, host_of: HostOf, way: str) -> None:
    listen, address = ("", SOCKET) if way == "socket" else ("127.0.0.1", "127.0.0.1")
    found = postgres_in(engine, password="x", listen=listen)
    host = host_of(engine, found)
    led = route(host, address, 5432, trusted=True)
    if way == "socket":
        assert led.parameters["host"] == f"/proc/{found.attrs['State']['Pid']}/root/run/postgresql"
    with psycopg.connect(conninfo_of(led), autocommit=True) as connection:
        shown = connection.execute("SELECT inet_client_addr()::text, repeat('x', 3000000)").fetchone()
        assert shown == (None if way == "socket" else "127.0.0.1/32", "x" * 3_000_000)
        pid = connection.info.backend_pid
        with psycopg.connect(conninfo_of(led), autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", (pid,))
        with pytest.raises(psycopg.OperationalError, match="terminating connection"):
            connection.execute("SELECT 1")


def test_a_database_on_the_container_network_is_reached_by_its_address(
    docker_engine: Engine, postgres_in: Started, host_of: HostOf
) -> None:
    found = postgres_in(docker_engine, password="secret-1", auth="scram-sha-256", listen="*", network="bridge")
    found.reload()
    host = host_of(docker_engine, found)
    address = found.attrs["NetworkSettings"]["IPAddress"]
    way = route(host, "127.0.0.1", 5432, trusted=False)
    assert way.parameters == {"host": "127.0.0.1", "hostaddr": address, "port": "5432"}
    with psycopg.connect(conninfo_of(way, password="secret-1")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_database_that_is_not_there_says_so(docker_engine: Engine, postgres_in: Started, host_of: HostOf) -> None:
    host = host_of(docker_engine, postgres_in(docker_engine, password="x"))
    for address, error, sentence in (
        (
            "127.0.0.1",
            TransientFailure,
            f"No server answers at 127.0.0.1:5432 in {host}; check that it runs and its address.",
        ),
        (
            "/nowhere",
            ConfigurationError,
            f"The {host} has no sh with perl or nc to relay to /nowhere/.s.PGSQL.5432; let its server listen on the container's "
            'network and configure a password, or publish its port and use where = "local".',
        ),
    ):
        way = route(host, address, 5432, trusted=True)
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(conninfo_of(way))
        problem = way.tunnel.problem()
        assert (type(problem), str(problem)) == (error, sentence)


def test_no_such_container(engine: Engine, postgres_in: Started, host_of: HostOf) -> None:
    found = postgres_in(engine, password="x")
    host = host_of(engine, found)
    host.where = InContainer("no-such-one")
    with pytest.raises(ConfigurationError) as caught:
        host.run(("true",), env={}, timeout=10)
    message = str(caught.value)
    assert message.startswith(f"There is no container 'no-such-one' at {engine.url}; running are: ")
    assert str(found.name) in message


def test_a_container_that_is_stopped(docker_engine: Engine, postgres_in: Started, host_of: HostOf) -> None:
    found = postgres_in(docker_engine, password="x")
    found.stop(timeout=10)
    with pytest.raises(TransientFailure) as caught:
        host_of(docker_engine, found).run(("true",), env={}, timeout=10)
    assert str(caught.value) == f"The container {found.name} is exited; start it and try again."


def test_no_engine_there() -> None:
    with pytest.raises(
        TransientFailure,
        match=r"^Cannot reach the container engine at unix:///nowhere/x\.sock: No such file or directory; ",
    ):
        Container(InContainer("db"), "unix:///nowhere/x.sock").run(("true",), env={}, timeout=10)


def test_the_user_the_programs_run_as(docker_engine: Engine, postgres_in: Started, host_of: HostOf) -> None:
    found = postgres_in(docker_engine, password="x")
    for user, number in (("", b"70\n"), ("root", b"0\n")):
        host = host_of(docker_engine, found, user)
        assert host.run(("id", "-u"), env={}, timeout=30).stdout == number


def test_this_process_is_no_container() -> None:
    from engine.hosts.container_files import is_here

    assert not is_here("a" * 64, os.getpid())
    assert not is_here("", os.getpid())
