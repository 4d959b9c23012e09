"""Back up, drill and restore real servers in the tests, and repack stored sets to damage them knowingly."""

from __future__ import annotations

import hashlib
import secrets
import subprocess
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from engine.config.settings import ServerSettings
from engine.postgres.backup import (
    ClusterBackup,
    DatabaseBackup,
    backup_database,
    publish_cluster,
)
from engine.postgres.commands import psql_argv
from engine.postgres.course import DrillReport
from engine.postgres.drill import drill
from engine.postgres.embedded import client_programs
from engine.postgres.instance import Instance
from engine.postgres.lock import backup_lock
from engine.postgres.night import begin, ordinals
from engine.postgres.server import Server
from engine.postgres.survey import chosen, list_databases
from engine.sets import manifest
from engine.sets.keys import SetKey, new_set_id, parse_set_folder
from engine.sets.reading import read_manifest
from engine.sets.target import Target
from engine.stores.folder import FolderStore
from engine.streams.pack import pack_bytes
from engine.streams.unpack import unpack_bytes
from tests.conftest import MAJOR

OWN = ("template1", "postgres")
_moments = count()


@dataclass(frozen=True)
class Backup:
    """What one backup stored."""

    target: Target
    cluster: ClusterBackup | None
    databases: dict[str, DatabaseBackup]

    @property
    def cluster_key(self) -> SetKey:
        assert self.cluster is not None
        return _key(self.cluster.set_key)

    def key(self, database: str) -> SetKey:
        return _key(self.databases[database].set_key)


def _key(text: str) -> SetKey:
    key = parse_set_folder(text)
    assert key is not None
    return key


def store_in(folder: Path, **more: Any) -> Target:
    return Target(FolderStore("nightly", folder), **more)


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


def back_up(server: Server, target: Target, databases: Iterable[str] = (), *, cluster: bool = True) -> Backup:
    """A whole night, as the flow does it; of the named databases only, when some are."""
    # Sets of one second have ids of their own, and restores name databases after the second.
    started = datetime(2026, 2, 7, 17, 0, tzinfo=UTC) + timedelta(seconds=next(_moments))
    night = begin(server, secrets.token_hex(8), started)
    with backup_lock(server):
        found = list_databases(server)
        numbers = ordinals(found)
        wanted = chosen(found, (*databases,), server)
        with ThreadPoolExecutor(2) as pool:
            work = [pool.submit(backup_database, night, one, numbers[one.name], target) for one in wanted]
            dumped = [each.result() for each in work]
        made = publish_cluster(night, dumped, found, target) if cluster else None
    return Backup(target, made, {one.database: one for one in dumped})


def drill_one(instance: Instance, folder: Path, database: str) -> DrillReport:
    """Back up one database of a server and drill its set."""
    target = store_in(folder)
    made = back_up(server_of(instance), target, [database], cluster=False)
    return drill(target, made.key(database))


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


def stored_files(target: Target, key: SetKey) -> dict[str, bytes]:
    """The stored bytes of a set's files, without the manifest."""
    found = {}
    for file in read_manifest(target, key).files:
        found[file.name] = read(target, key.prefix + file.name)
    return found


def plain_files(target: Target, key: SetKey) -> dict[str, bytes]:
    """The unpacked files of an unencrypted set."""
    return {name: unpack_bytes(data, ()) for name, data in stored_files(target, key).items()}


def read(target: Target, key: str) -> bytes:
    """One stored object."""
    with target.store.reader(key) as reader:
        return b"".join(iter(lambda: reader.read(1 << 20), b""))


def put(target: Target, key: str, data: bytes) -> None:
    with target.store.writer(key) as writer:
        writer.write(data)


def copied(target: Target, key: SetKey, other: Target) -> None:
    """The same set in another store, as it is."""
    for stored in target.store.list(key.prefix):
        put(other, stored.key, read(target, stored.key))


def repacked(target: Target, key: SetKey, edits: Mapping[str, Edit]) -> SetKey:
    """A new set with some files' plain contents edited and a manifest that fits: only a proof can tell.

    An edit that changes nothing is a mistake of the test.
    """
    body = read_manifest(target, key)
    new = SetKey(key.server, key.database, new_set_id(key.created, secrets.token_hex(8)))
    files = []
    for file in body.files:
        data = read(target, key.prefix + file.name)
        if file.name in edits:
            before = unpack_bytes(data, ())
            after = edits[file.name](before)
            assert after != before, f"nothing was changed in {file.name}"
            data = pack_bytes(after, ())
        put(target, new.prefix + file.name, data)
        digest = hashlib.sha256(data).hexdigest()
        files.append(file.model_copy(update={"size": len(data), "sha256": digest}))
    changed = body.model_copy(update={"set_id": new.set_id, "files": tuple(files)})
    put(target, new.manifest, manifest.to_json(changed))
    return new


def replaced(old: str, new: str, times: int = 1) -> Edit:
    """An edit: `old`, which must be there, becomes `new`."""

    def edit(data: bytes) -> bytes:
        assert old.encode() in data, f"{old!r} is not there"
        return data.replace(old.encode(), new.encode(), times)

    return edit
