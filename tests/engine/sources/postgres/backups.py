"""Back up, drill and restore real servers in the tests, and repack stored sets to damage them knowingly."""

from __future__ import annotations

import hashlib
import secrets
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from engine.hosts.settings import HostSettings
from engine.operations.backup import BackupRun
from engine.operations.drill import drill_set
from engine.progress import Progress, silent
from engine.repository.findings import DrillResult
from engine.repository.keys import SetKey, new_set_id
from engine.repository.manifest import read_manifest, to_json
from engine.repository.repository import Repository
from engine.sources.item import Item, Run, StoredItem
from engine.sources.postgres.backup.survey import Surveyed
from engine.sources.postgres.facts import DatabaseFacts
from engine.sources.postgres.kinds import CLUSTER
from engine.sources.postgres.programs.commands import psql_argv
from engine.sources.postgres.programs.installed import client_programs
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.server.databases import DatabaseFound
from engine.sources.postgres.server.server import Server
from engine.sources.postgres.settings import ServerSettings
from engine.sources.postgres.source import PostgresSource
from engine.steps import InShell
from engine.stores.folder import FolderStore
from engine.streams.pack import pack_bytes
from engine.streams.unpack import unpack_bytes
from tests.conftest import MAJOR

OWN = ("template1", "postgres")
_moments = count()
CLOSING = Item(CLUSTER.name, closes=True)


@dataclass(frozen=True)
class Backup:
    """What one backup stored."""

    repository: Repository
    cluster: StoredItem | None
    databases: dict[str, StoredItem]

    @property
    def cluster_key(self) -> SetKey:
        assert self.cluster is not None
        return self.cluster.key

    def key(self, database: str) -> SetKey:
        return self.databases[database].key

    def facts(self, database: str) -> DatabaseFacts:
        found = self.databases[database].facts
        assert isinstance(found, DatabaseFacts)
        return found


def store_in(folder: Path, **more: Any) -> Repository:
    return Repository(FolderStore("nightly", folder), **more)


def server_of(instance: Instance, name: str = "platform", **settings: Any) -> Server:
    """How the engine sees a server of the tests."""
    return Server(
        name,
        ServerSettings(
            host=str(instance.socket),
            port=instance.port,
            user=instance.superuser,
            store="nightly",
            **settings,
        ),
    )


class SomeDatabases(PostgresSource):
    """A server as if it had these databases only; all where none is named. Without `closing`, no cluster set."""

    def __init__(self, server: Server, databases: Sequence[str] = (), *, closing: bool = True) -> None:
        super().__init__(server.name, server.settings, server.host_settings)
        self.server = server
        self.programs: Path | None = None
        self._only, self._closing_too = set(databases), closing

    def _survey(self, run: Run) -> Surveyed:
        found = super()._survey(run)
        return replace(found, programs=self.programs) if self.programs else found

    def items(self) -> Sequence[Item]:
        found = super().items()
        if unknown := self._only.difference(item.name for item in found):
            raise AssertionError(f"there is no database {unknown}")
        wanted = [item for item in found if item.closes or item.skipped or not self._only or item.name in self._only]
        return [item for item in wanted if self._closing_too or not item.closes]


def run_of(server: Server, repository: Repository, databases: Sequence[str] = (), *, cluster: bool = True) -> BackupRun:
    """A backup run that has not begun."""
    # Sets of one second have ids of their own, and restores name databases after the second.
    started = datetime(2026, 2, 7, 17, 0, tzinfo=UTC) + timedelta(seconds=next(_moments))
    source = SomeDatabases(server, databases, closing=cluster)
    return BackupRun(source, lambda _: repository, secrets.token_hex(8), "a test", retain=False, started=started)


def back_up(server: Server, repository: Repository, databases: Iterable[str] = (), *, cluster: bool = True) -> Backup:
    """A whole backup, as the flow does it; of the named databases only, when some are."""
    run = run_of(server, repository, tuple(databases), cluster=cluster)
    run.carry_out(InShell(silent))
    for _, error in run.result.failures:
        raise error
    stored = {one.item.name: one for one in run.result.stored if not one.item.closes}
    return Backup(repository, run.result.closed, stored)


def store_one(
    run: BackupRun, database: DatabaseFound, progress: Progress = silent, *, alone: bool = False
) -> StoredItem:
    """One database as a step of the run stores it. `alone`: there will be no cluster set."""
    run.result.found = (database, *([] if alone else [CLOSING]))
    stored = run.store_item(database, progress)
    assert isinstance(stored, StoredItem)
    run.result.stored.append(stored)
    return stored


def found(name: str, size: int = 0, oid: int = 0) -> DatabaseFound:
    return DatabaseFound(name=name, size=size, oid=oid)


def drill(repository: Repository, key: SetKey, progress: Progress = silent, docker_host: str = "") -> DrillResult:
    """A drill as an operator starts it."""
    return drill_set(repository, key, "a test", progress, HostSettings(docker_host=docker_host))


def drill_one(instance: Instance, folder: Path, database: str) -> DrillResult:
    """Back up one database of a server and drill its set."""
    repository = store_in(folder)
    made = back_up(server_of(instance), repository, [database], cluster=False)
    return drill(repository, made.key(database))


def execute(instance: Instance, database: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements as the superuser, each for itself; the rows of the last one."""
    with psycopg.connect(instance.conninfo(database), autocommit=True) as connection:
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def run_script(instance: Instance, database: str, script: str) -> None:
    """Run a script statement by statement, with the stock psql."""
    argv = psql_argv(client_programs(MAJOR), database)
    environment = server_of(instance).tool_environment("platform-ops test")
    done = subprocess.run(argv, input=script.encode(), env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


Edit = Callable[[bytes], bytes]


def stored_files(repository: Repository, key: SetKey) -> dict[str, bytes]:
    """The stored bytes of a set's files, without the manifest."""
    found = {}
    for file in read_manifest(repository, key).files:
        found[file.name] = read(repository, key.prefix + file.name)
    return found


def plain_files(repository: Repository, key: SetKey) -> dict[str, bytes]:
    """The unpacked files of an unencrypted set."""
    return {name: unpack_bytes(data, ()) for name, data in stored_files(repository, key).items()}


def read(repository: Repository, key: str) -> bytes:
    """One stored object."""
    with repository.store.reader(key) as reader:
        return b"".join(iter(lambda: reader.read(1 << 20), b""))


def put(repository: Repository, key: str, data: bytes) -> None:
    with repository.store.writer(key) as writer:
        writer.write(data)


def copied(repository: Repository, key: SetKey, other: Repository) -> None:
    """The same set in another store, as it is."""
    for stored in repository.store.list(key.prefix):
        put(other, stored.key, read(repository, stored.key))


def repacked(repository: Repository, key: SetKey, edits: Mapping[str, Edit]) -> SetKey:
    """A new set with some files' plain contents edited and a manifest that fits: only a proof can tell.

    An edit that changes nothing is a mistake of the test.
    """
    body = read_manifest(repository, key)
    new = key.asset.set(new_set_id(key.created, secrets.token_hex(8)))
    files = []
    for file in body.files:
        data = read(repository, key.prefix + file.name)
        if file.name in edits:
            before = unpack_bytes(data, ())
            after = edits[file.name](before)
            assert after != before, f"nothing was changed in {file.name}"
            data = pack_bytes(after, ())
        put(repository, new.prefix + file.name, data)
        digest = hashlib.sha256(data).hexdigest()
        files.append(file.model_copy(update={"size": len(data), "sha256": digest}))
    changed = body.model_copy(update={"set_id": new.set_id, "files": tuple(files)})
    put(repository, new.manifest, to_json(repository, changed))
    return new


def replaced(old: str, new: str, times: int = 1) -> Edit:
    """An edit: `old`, which must be there, becomes `new`."""

    def edit(data: bytes) -> bytes:
        assert old.encode() in data, f"{old!r} is not there"
        return data.replace(old.encode(), new.encode(), times)

    return edit
