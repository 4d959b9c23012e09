"""One archive, two stored files: the rows packed once where that is certain, twice where it is not."""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from pyrage import x25519

from engine.errors import OperationFailed, TransientFailure
from engine.hosts.processes import arguments
from engine.repository.repository import Repository
from engine.sources.item import StoredItem
from engine.sources.postgres.backup.survey import survey
from engine.sources.postgres.scratch.instance import Instance
from engine.streams.unpack import unpack_bytes
from tests.engine.sources.postgres.backup.test_backup import BULKY, SlowStore, files_in
from tests.engine.sources.postgres.backups import (
    SomeDatabases,
    drill,
    execute,
    found,
    run_of,
    run_script,
    server_of,
    store_in,
    store_one,
)

IDENTITY = x25519.Identity.generate()
RECIPIENTS = (str(IDENTITY.to_public()),)


@pytest.fixture
def bulky(postgres_server: Instance, fresh_database: str) -> str:
    run_script(postgres_server, fresh_database, BULKY)
    return fresh_database


def one(
    server: Instance,
    repository: Repository,
    database: str,
    *,
    programs: Path | None = None,
    reported: list[str] | None = None,
) -> StoredItem:
    """Back up one database. `programs`: where pg_restore is taken from; `reported`: gets what is said meanwhile."""
    run = run_of(server_of(server), repository)
    assert isinstance(run.source, SomeDatabases)
    run.source.programs = programs
    heard = reported if reported is not None else []
    return store_one(run, found(database, 20_000_000), lambda what, done=0, total=0: heard.append(what))


def members(data: bytes) -> list[bytes]:
    """The gzip files of which a gzip file is made, those above 64 KiB (by the header that ours have)."""
    head = data[:10]
    return [piece for piece in data.split(head) if len(piece) > 1 << 16]


def stored(repository: Repository, ending: str) -> bytes:
    (path,) = (Path(path) for path in files_in(repository) if path.endswith(ending) and "000-globals" not in path)
    return path.read_bytes()


def test_rows_are_packed_once(postgres_server: Instance, bulky: str, store_folder: Path) -> None:
    repository = store_in(store_folder)
    one(postgres_server, repository, bulky)
    dump, text = members(stored(repository, ".dump.gz")), members(stored(repository, ".sql.gz"))
    assert len(dump) > 5
    assert dump == text


def test_without_certainty_they_are_packed_twice(postgres_server: Instance, bulky: str, store_folder: Path) -> None:
    execute(postgres_server, bulky, "COMMENT ON TABLE bulky IS '-- Data for Name: bulky'")
    repository = store_in(store_folder)
    made = one(postgres_server, repository, bulky)
    assert members(stored(repository, ".dump.gz")) != members(stored(repository, ".sql.gz"))
    assert drill(repository, made.key).result == "passed"


def test_encrypted_both_are_whole(postgres_server: Instance, bulky: str, store_folder: Path, tmp_path: Path) -> None:
    identity = tmp_path / "identity"
    identity.write_text(f"{IDENTITY}\n")
    identity.chmod(0o600)
    repository = store_in(store_folder, recipients=RECIPIENTS, identity_reference=f"file:{identity}")
    made = one(postgres_server, repository, bulky)
    text = unpack_bytes(stored(repository, ".sql.gz.age"), (str(IDENTITY),))
    assert text.count(b"\n19999\t") == 1
    assert drill(repository, made.key).result == "passed"


CHANGES = {
    "another form of the statement": "s/^COPY public/COPY  public/",
    "a byte that is lost": "s/^778\\t\\(.*\\).$/778\\t\\1/",
}


def altered(folder: Path, programs: Path, script: str) -> Path:
    """The real programs, but of the archive on stdin pg_restore gives a changed SQL."""
    folder.mkdir()
    wrapper = folder / "pg_restore"
    wrapper.write_text(
        f"#!/bin/bash\nset -o pipefail\n"
        f'if [ "$*" = "--file=- --no-tablespaces --enable-row-security" ]; then {programs}/pg_restore "$@" | LC_ALL=C sed {shlex.quote(script)}\n'
        f'else exec {programs}/pg_restore "$@"; fi\n'
    )
    wrapper.chmod(0o755)
    return folder


@pytest.mark.parametrize("change", CHANGES)
def test_a_doubt_takes_the_dump_again(
    postgres_server: Instance, bulky: str, store_folder: Path, tmp_path: Path, change: str
) -> None:
    repository, reported = store_in(store_folder), list[str]()
    programs = altered(tmp_path / "altered", survey(server_of(postgres_server)).programs, CHANGES[change])
    made = one(postgres_server, repository, bulky, programs=programs, reported=reported)
    assert f"dump {bulky} again: its rows cannot be packed once for both sets" in reported
    assert drill(repository, made.key).result == "passed"


def test_a_dump_without_all_rows_is_not_kept(
    postgres_server: Instance, bulky: str, store_folder: Path, tmp_path: Path
) -> None:
    repository = store_in(store_folder)
    loses_one = "/^777\\t/d"  # of 645 bytes: the archive's size could be right
    programs = altered(tmp_path / "altered", survey(server_of(postgres_server)).programs, loses_one)
    reported = r"has 19,999 rows of public\.bulky where its proof counted 20,000; it was not kept"
    with pytest.raises(TransientFailure, match=reported):
        one(postgres_server, repository, bulky, programs=programs)
    assert files_in(repository) == []


def when_running(words: str, act: Callable[[psutil.Process], object]) -> threading.Thread:
    """Does something to the first process below this one whose command line has `words`, in its middle."""

    def wait() -> None:
        deadline = time.monotonic() + 30
        while not (found := [each for each in started_here() if words in " ".join(arguments(each.pid))]):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(0.3)
        act(found[0])

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def started_here() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


@pytest.mark.parametrize(
    ("words", "reported"),
    [
        ("--format=custom --compress=0", "pg_dump of '.*' was ended by signal 9"),
        ("--file=- --no-tablespaces --enable-row-security", "pg_restore to SQL was ended by signal 9"),
    ],
)
def test_whoever_is_killed_nothing_has_a_name(
    postgres_server: Instance, bulky: str, store_folder: Path, words: str, reported: str
) -> None:
    store = SlowStore("nightly", store_folder)
    store.bytes_in_a_second = 2**20  # on a busy machine the kill comes late
    repository = Repository(store, recipients=RECIPIENTS)
    thread = when_running(words, lambda process: process.kill())
    with pytest.raises(TransientFailure, match=reported):
        one(postgres_server, repository, bulky)
    thread.join()
    assert files_in(repository) == []
    assert not any("pg_restore" in " ".join(arguments(each.pid)) for each in started_here())


def test_a_full_disk_leaves_nothing(postgres_server: Instance, bulky: str, small_disk: Path) -> None:
    repository = store_in(small_disk / "store", recipients=RECIPIENTS)
    with pytest.raises(OperationFailed, match=r"The disk of store 'nightly' at .* is full"):
        one(postgres_server, repository, bulky)
    assert files_in(repository) == []
