"""Programs and databases on another machine, over a real sshd."""

from __future__ import annotations

import getpass
import os
import resource
import socket
import time
from itertools import count
from pathlib import Path

import psycopg
import pytest

from engine.errors import ConfigurationError, TransientFailure
from engine.hosts.shell import sweep_argv
from engine.hosts.ssh import Ssh
from engine.hosts.where import OverSsh
from engine.sources.postgres.scratch.instance import Instance
from tests.engine.hosts.away import conninfo_of, eventually, route
from tests.engine.hosts.parts import lines_about
from tests.engine.hosts.sshd import Sshd, make_key, running_sshd

_numbers = count(1)
MARKS = {"PGAPPNAME": "platform-ops dump", "PGHOST": "/nowhere", "PGPORT": "1"}


def running(line: str) -> bool:
    """Whether a process runs under this command line."""
    return any(found.startswith(line) for found in lines_about(line))


def ssh_to(sshd: Sshd, key: str = "", known_hosts: str = "") -> Ssh:
    place = OverSsh(getpass.getuser(), "127.0.0.1", sshd.port)
    return Ssh(place, key or sshd.key, known_hosts or sshd.known_hosts)


@pytest.fixture
def host(sshd: Sshd) -> Ssh:
    return ssh_to(sshd)


@pytest.fixture
def span() -> str:
    """Seconds to sleep that no other process of this machine sleeps."""
    return f"{os.getpid()}{next(_numbers):04}"


@pytest.fixture(autouse=True)
def _close(request: pytest.FixtureRequest) -> None:
    if "host" in request.fixturenames:
        request.addfinalizer(request.getfixturevalue("host").close)


def test_a_program_gets_its_arguments_and_environment_and_nothing_else(host: Ssh) -> None:
    hostile = "a b'c\"d $HOME `id` \\ ! *"
    done = host.run(
        ("sh", "-c", 'printf "%s|%s|%s" "$1" "$PGPASSWORD" "$PGUSER"; echo said >&2; exit 3', "x", hostile),
        env={"PGPASSWORD": hostile},
        timeout=30,
    )
    assert (done.code, done.stdout.decode(), done.stderr) == (3, f"{hostile}|{hostile}|", "said\n")


def test_a_program_that_is_not_there(host: Ssh) -> None:
    assert host.run(("no-such-program",), env={}, timeout=30).code == 127


def test_a_secret_in_the_environment_is_in_no_command_line(host: Ssh, span: str) -> None:
    program = host.stream(("sleep", span), env={"PGPASSWORD": "canary-4711"})
    eventually(lambda: running(f"sleep {span}"), "it did not start")
    assert lines_about("canary-4711") == []
    program.kill()


def test_bytes_come_through_unchanged_and_in_bounded_memory(host: Ssh) -> None:
    program = host.stream(("head", "-c", "20000000", "/dev/zero"), env={})
    assert program.stdout is not None
    size = 0
    while piece := program.stdout.read(1 << 20):
        assert piece.count(0) == len(piece) <= 1 << 20
        size += len(piece)
    assert (size, program.wait(10)) == (20_000_000, 0)


def test_too_long_a_run_is_ended_there_too(host: Ssh, span: str) -> None:
    with pytest.raises(TransientFailure, match=r"^sleep on .* took longer than 1 s and was ended; "):
        host.run(("sleep", span), env={}, timeout=1)
    eventually(lambda: lines_about(f"sleep {span}") == [], "it runs on")


def test_one_that_is_stopped_is_ended_with_the_channel(host: Ssh, span: str) -> None:
    program = host.stream(("sh", "-c", f"kill -STOP $$; exec sleep {span}"), env={})
    eventually(lambda: running(f"sh -c kill -STOP $$; exec sleep {span}"), "it did not start")
    program.kill()
    assert program.wait() == -9
    eventually(lambda: lines_about(f"sleep {span}") == [], "it runs on")


def test_a_leftover_is_ended_by_all_of_its_marks(host: Ssh, span: str) -> None:
    program = host.stream(("sleep", span), env=MARKS)
    eventually(lambda: running(f"sleep {span}"), "it did not start")
    assert host.end_leftovers(MARKS | {"PGPORT": "11"}) == 0
    assert host.end_leftovers(MARKS) == 1
    assert program.stderr is not None
    assert (program.wait(10), [*program.stderr]) == (255, [f"a signal ended it ({host})".encode()])
    assert host.end_leftovers(MARKS) == 0


def test_looking_for_leftovers_needs_no_shell_but_sh() -> None:
    assert sweep_argv(MARKS)[:2] == ("sh", "-c")
    assert "\n" not in " ".join(sweep_argv(MARKS))


def test_a_database_that_listens_to_its_socket_alone(host: Ssh, postgres_server: Instance) -> None:
    way = route(host, str(postgres_server.socket), postgres_server.port, trusted=True)
    assert way.parameters["hostaddr"] == "127.0.0.1"
    with psycopg.connect(conninfo_of(way)) as connection:
        row = connection.execute("SELECT inet_client_addr() IS NULL, repeat('x', 3000000)").fetchone()
        assert row == (True, "x" * 3_000_000)


def test_a_database_that_is_not_there_says_so(host: Ssh) -> None:
    way = route(host, "127.0.0.1", 1, trusted=False)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(conninfo_of(way))
    assert str(way.tunnel.problem()) == (
        f"{host} reaches nothing at 127.0.0.1:1; check that it runs there and its address."
    )


def test_a_forward_is_for_its_own_user(host: Ssh, postgres_server: Instance) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    way = route(host, str(postgres_server.socket), postgres_server.port, trusted=True)
    conninfo = f"host=127.0.0.1 port={way.parameters['port']} user=postgres dbname=postgres connect_timeout=5"
    child = os.fork()
    if child == 0:  # another user of this machine
        code = 1
        try:
            os.setuid(65534)
            psycopg.connect(conninfo)
        except psycopg.OperationalError:
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with psycopg.connect(conninfo) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_forward_outlives_a_moment_without_descriptors(host: Ssh, postgres_server: Instance) -> None:
    """None is left to see whose a connection is (it is taken with one that was put aside), nor to take the next."""
    way = route(host, str(postgres_server.socket), postgres_server.port, trusted=True)
    with psycopg.connect(conninfo_of(way)):
        pass
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as client:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
        try:
            client.connect(("127.0.0.1", int(way.parameters["port"])))
            client.settimeout(5)
            assert client.recv(1) == b""
            time.sleep(0.3)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    with psycopg.connect(conninfo_of(way), connect_timeout=5) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_forwarding_that_is_not_allowed(tmp_path: Path) -> None:
    with running_sshd(tmp_path / "sshd", forwarding=False) as strict:
        host, problems = ssh_to(strict), []
        for address in ("127.0.0.1", "/tmp"):
            way = route(host, address, 5432, trusted=True)
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(conninfo_of(way))
            problems.append(way.tunnel.problem())
        host.close()
    assert [(type(problem), str(problem)) for problem in problems] == [
        (
            ConfigurationError,
            f"{host} does not let us forward to 127.0.0.1:5432; allow it in its sshd_config (AllowTcpForwarding, "
            "AllowStreamLocalForwarding, PermitOpen) or choose another `where`.",
        ),
        (
            TransientFailure,
            f"{host} reaches nothing at /tmp/.s.PGSQL.5432; check that it runs there and its address "
            "(and AllowStreamLocalForwarding in its sshd_config).",
        ),
    ]


def test_an_unknown_host_key_is_refused(sshd: Sshd, tmp_path: Path) -> None:
    empty = tmp_path / "known_hosts"
    empty.touch()
    with pytest.raises(ConfigurationError) as caught:
        ssh_to(sshd, known_hosts=str(empty)).run(("true",), env={}, timeout=10)
    message = str(caught.value)
    assert message.startswith(f"The SSH host key of [127.0.0.1]:{sshd.port} (ssh-ed25519 SHA256:")
    assert message.endswith(
        f") is not in {empty}; compare it with the host's own (`ssh-keygen -lf` there) and add it with `ssh-keyscan`."
    )


def test_a_changed_host_key_is_refused(sshd: Sshd, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other")
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{sshd.port} {other}\n", encoding="utf8")
    with pytest.raises(ConfigurationError, match=r"^The SSH host key of 127\.0\.0\.1 is not the one in "):
        ssh_to(sshd, known_hosts=str(known)).run(("true",), env={}, timeout=10)


def test_a_wrong_key(sshd: Sshd) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ssh_to(sshd, key=sshd.stranger).run(("true",), env={}, timeout=10)
    assert str(caught.value) == (
        f"{getpass.getuser()}@127.0.0.1:{sshd.port} does not accept the key {sshd.stranger}; "
        "add its public half to authorized_keys there or correct ssh_key."
    )


def test_a_key_with_a_passphrase_and_no_key_at_all(sshd: Sshd, tmp_path: Path) -> None:
    make_key(tmp_path / "locked", passphrase="canary-pass")
    with pytest.raises(ConfigurationError, match=r"locked has a passphrase; load it into ssh-agent "):
        ssh_to(sshd, key=f"file:{tmp_path / 'locked'}").run(("true",), env={}, timeout=10)
    with pytest.raises(ConfigurationError, match=r"known_hosts is no SSH private key "):
        ssh_to(sshd, key=f"file:{sshd.known_hosts}").run(("true",), env={}, timeout=10)


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_other_kinds_of_keys(sshd: Sshd, tmp_path: Path, kind: str) -> None:
    public = make_key(tmp_path / kind, kind)
    authorized = sshd.folder / "authorized_keys"
    before = authorized.read_text(encoding="utf8")
    authorized.write_text(before + public + "\n", encoding="utf8")
    try:
        host = ssh_to(sshd, key=f"file:{tmp_path / kind}")
        assert host.run(("echo", "in"), env={}, timeout=10).stdout == b"in\n"
        host.close()
    finally:
        authorized.write_text(before, encoding="utf8")


def test_a_host_that_is_down(sshd: Sshd) -> None:
    down = Ssh(OverSsh("deploy", "127.0.0.1", 1), sshd.key, sshd.known_hosts)
    with pytest.raises(TransientFailure) as caught:
        down.run(("true",), env={}, timeout=10)
    assert str(caught.value) == (
        "Cannot reach deploy@127.0.0.1:1 by SSH: Connection refused; check the address and that sshd runs there."
    )


def test_a_connection_that_breaks_is_told_and_made_again(sshd: Sshd, host: Ssh, span: str) -> None:
    program = host.stream(("sleep", span), env={})
    assert program.stdout is not None and program.stderr is not None
    eventually(lambda: running(f"sleep {span}"), "it did not start")
    transport = host._transport()
    transport.sock.close()
    assert program.stdout.read(10) == b""
    assert (program.wait(10), [*program.stderr]) == (255, [f"the connection was lost ({host})".encode()])
    eventually(lambda: lines_about(f"sleep {span}") == [], "it runs on")
    assert host.run(("echo", "again"), env={}, timeout=30).stdout == b"again\n"
