"""An address that two servers answer at, or a primary and its standby: no set has the roles or rows of both."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from engine.errors import PlatformOpsError
from engine.repository.repository import Repository
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.scratch.scratch import scratch_server
from engine.sources.postgres.server.lock import WORKER
from engine.sources.postgres.server.server import Server
from engine.sources.postgres.settings import ServerSettings
from tests.conftest import LIVE, MAJOR
from tests.engine.sources.postgres.backups import back_up, drill, execute, store_in
from tests.engine.sources.postgres.standby import standby_of
from tests.faults.gates import wait_for

Choose = Callable[[bytes], Instance]
_VERIFIER = "md53175bce1d3201d16594cebf9d7eb3f9d"


def _passed(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _answer(client: socket.socket, choose: Choose) -> None:
    with client, socket.socket(socket.AF_UNIX) as server:
        request = client.recv(1 << 16)
        instance = choose(request)
        server.connect(f"{instance.socket}/.s.PGSQL.{instance.port}")
        server.sendall(request)
        threads = [threading.Thread(target=_passed, args=ends) for ends in ((client, server), (server, client))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


@contextmanager
def answering(folder: Path, choose: Choose) -> Iterator[Server]:
    """A server's address, behind which `choose` says for each request for a session which server gets it."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / ".s.PGSQL.5432"))
        listener.listen(64)

        def serve() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=_answer, args=(listener.accept()[0], choose), daemon=True).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield Server("platform", ServerSettings(host=str(folder), port=5432, store="nightly"))
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture(scope="module")
def two() -> Iterator[tuple[Instance, Instance]]:
    with scratch_server(MAJOR) as one, scratch_server(MAJOR) as other:
        for instance, name in ((one, "first"), (other, "second")):
            # The roles and their passwords tell the two not apart, as with a standby or a clone.
            execute(instance, "postgres", "CREATE DATABASE app", f"CREATE ROLE app PASSWORD '{_VERIFIER}'")
            execute(instance, "app", f"CREATE TABLE t AS SELECT '{name}' AS a")
        yield one, other


def _roles_of_the_other(one: Instance, other: Instance) -> Choose:
    """As where a name has two addresses: pg_dumpall gets the second."""
    return lambda request: other if b"platform-ops dump " in request else one


def _dump_of_the_other(one: Instance, other: Instance) -> Choose:
    """The snapshot's session of a database comes before its pg_dump, which has the same name."""
    begun = set()

    def choose(request: bytes) -> Instance:
        words = request[8:].split(b"\0")
        sent = dict(zip(words[::2], words[1::2], strict=False))
        dumped = sent[b"application_name"] == WORKER.encode() and sent[b"database"]
        if dumped in begun:
            return other
        begun.add(dumped or b"")
        return one

    return choose


def _by_turns(one: Instance, other: Instance) -> Choose:
    turns = iter(range(1_000_000))
    return lambda _: (one, other)[next(turns) % 2]


def _after_a_while(one: Instance, other: Instance) -> Choose:
    """As when another server takes over."""
    turns = iter(range(1_000_000))
    return lambda _: one if next(turns) < 9 else other


_CHOICES = [_roles_of_the_other, _dump_of_the_other, _by_turns, _after_a_while]
_Choice = Callable[[Instance, Instance], Choose]


def _refused(folder: Path, repository: Repository, choose: Choose) -> None:
    """A run that meets two servers ends, and what it stored before is in no set."""
    with answering(folder, choose) as server, pytest.raises(PlatformOpsError, match="is another server than"):
        back_up(server, repository)
    assert not [key for key in repository.store.keys("") if key.endswith("manifest.json")]


@pytest.mark.parametrize("choice", _CHOICES)
def test_nothing_of_two_servers_is_stored(
    two: tuple[Instance, Instance], server_base: Path, tmp_path: Path, choice: _Choice
) -> None:
    _refused(server_base, store_in(tmp_path), choice(*two))


def test_one_server_behind_it_is_backed_up(two: tuple[Instance, Instance], server_base: Path, tmp_path: Path) -> None:
    repository: Repository = store_in(tmp_path)
    with answering(server_base, lambda _: two[1]) as server:
        made = back_up(server, repository)
    assert drill(repository, made.cluster_key).result == "passed"


@pytest.fixture(scope="module")
def primary_and_standby() -> Iterator[tuple[Instance, Instance]]:
    """Two that have the same identifier, roles and rows."""
    with scratch_server(MAJOR, settings=LIVE) as primary:
        execute(primary, "postgres", "CREATE DATABASE app", f"CREATE ROLE app PASSWORD '{_VERIFIER}'")
        execute(primary, "app", "CREATE TABLE t AS SELECT 'both' AS a")
        with standby_of(primary) as standby:
            assert execute(standby, "postgres", "SELECT pg_is_in_recovery()") == [(True,)]
            yield primary, standby


@pytest.mark.parametrize("choice", _CHOICES)
@pytest.mark.parametrize("first", ["primary", "standby"])
def test_nothing_of_a_primary_and_its_standby_is_stored(
    primary_and_standby: tuple[Instance, Instance], server_base: Path, tmp_path: Path, first: str, choice: _Choice
) -> None:
    primary, standby = primary_and_standby
    ordered = (primary, standby) if first == "primary" else (standby, primary)
    _refused(server_base, store_in(tmp_path), choice(*ordered))


def test_a_standby_alone_behind_it_is_backed_up(
    primary_and_standby: tuple[Instance, Instance], server_base: Path, tmp_path: Path
) -> None:
    primary, standby = primary_and_standby
    repository = store_in(tmp_path)
    execute(primary, "app", "INSERT INTO t VALUES ('streamed')")
    wait_for(lambda: execute(standby, "app", "SELECT count(*) FROM t") == [(2,)])
    with answering(server_base, lambda _: standby) as server:
        made = back_up(server, repository)
    assert (made.facts("app").rows, drill(repository, made.cluster_key).result) == (2, "passed")
