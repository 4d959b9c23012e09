"""A full, read-only or forbidden disk under the store, the spool and the scratch server; no more open files."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.sources.postgres.programs.account import account
from engine.sources.postgres.scratch.instance import Instance
from tests.engine.cli.command import COMMAND, Answer
from tests.engine.cli.site import environment
from tests.engine.sources.postgres.backups import execute
from tests.faults.conftest import DATABASE
from tests.faults.gates import kept_in
from tests.faults.site import FaultSite, sentences

BACKUP = ("backup", "--database", DATABASE)


@contextmanager
def _mounted(folder: Path, size: str) -> Iterator[None]:
    """A small disk of its own, in memory."""
    folder.mkdir(exist_ok=True)
    argv = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0711", "faults", str(folder)]
    if os.geteuid() != 0 or subprocess.run(argv, capture_output=True, check=False).returncode:
        if os.environ.get("CI") == "true":
            pytest.fail("CI has to let the tests mount a small disk")
        pytest.skip("mounting is not allowed here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _one_sentence(answer: Answer, code: int, message: str) -> None:
    [sentence] = sentences(answer)
    assert answer.code == code, answer.stderr
    assert message in sentence, sentence
    assert "unexpected error" not in sentence


def test_of_the_store(site: FaultSite) -> None:
    with _mounted(site.store, "96k"):
        filler = site.store / "filler"
        filler.write_bytes(b"x" * 80_000)
        answer = site.run(*BACKUP)
        _one_sentence(answer, 1, "The disk of store 'nightly' at")
        assert "free space there or keep less in it" in answer.problem
        assert [path.name for path in site.store.rglob("*") if path.is_file()] == ["filler"]
        filler.unlink()
        again = site.run(*BACKUP)
        assert again.code == 0, again.stderr


def test_of_the_store_while_older_sets_are_there(site: FaultSite) -> None:
    """What was stored before stays whole, and a verdict that finds no room is no reason to doubt it."""
    with _mounted(site.store, "256k"):
        assert site.run(*BACKUP).code == 0
        before = {path: path.read_bytes() for path in site.store.rglob("*.gz")}
        filler = site.store / "filler"
        with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            while True:
                file.write(b"x" * 4096)
        _one_sentence(site.run(*BACKUP), 1, "is full")
        assert {path: path.read_bytes() for path in site.store.rglob("*.gz")} == before
        _one_sentence(site.run("verify"), 1, "is full")
        filler.unlink()
        assert site.run("verify").code == 0


def test_of_the_spool(site: FaultSite, server_base: Path) -> None:
    disk = server_base / "spool"
    with _mounted(disk, "64k"):
        (disk / "filler").write_bytes(b"x" * 61_440)
        full = FaultSite(site.folder, site.server, site.stores, {"TMPDIR": str(disk)})
        _one_sentence(full.run(*BACKUP), 1, f"The disk of temporary files at {disk} is full; free space there")
        assert kept_in(disk) == []
    elsewhere = FaultSite(site.folder, site.server, site.stores, {"TMPDIR": "/nowhere"})
    _one_sentence(elsewhere.run(*BACKUP), 2, "No temporary folder can be made in /nowhere: No such file or directory")
    assert [path for path in site.store.rglob("*") if path.is_file()] == []
    assert site.run(*BACKUP).code == 0


def test_of_the_scratch_server(site: FaultSite, server_base: Path) -> None:
    assert site.run(*BACKUP).code == 0
    disk = server_base / "scratch"
    with _mounted(disk, "12m"):
        os.chown(disk, *account())
        full = FaultSite(site.folder, site.server, site.stores, {"TMPDIR": str(disk)})
        answer = full.run("drill", "--database", DATABASE)
        _one_sentence(answer, 3, "No space left on device")
        assert kept_in(disk) == []
    again = site.run("drill", "--database", DATABASE)
    assert again.code == 0, again.stderr


@pytest.mark.parametrize("size", ["56m", "80m"])
def test_of_the_scratch_server_in_the_middle_of_a_restore(
    site: FaultSite, fault_server: Instance, server_base: Path, size: str
) -> None:
    """A full disk of the write-ahead log ends the whole server, which says nothing of the set."""
    execute(fault_server, "postgres", "CREATE DATABASE large TEMPLATE template0")
    rows = "SELECT md5(i::text) || md5((i + 1)::text) AS note FROM generate_series(1, 600000) AS i"
    execute(fault_server, "large", f"CREATE TABLE notes AS {rows}", "CREATE INDEX ON notes (note)")
    disk = server_base / "scratch"
    try:
        assert site.run("backup", "--database", "large").code == 0
        with _mounted(disk, size):
            os.chown(disk, *account())
            full = FaultSite(site.folder, site.server, site.stores, {"TMPDIR": str(disk)})
            answer = full.run("drill", "--database", "large")
            _one_sentence(
                answer, 3, "The scratch server lacks what this set needs, and nothing is held against the set"
            )
            assert kept_in(disk) == []
        again = site.run("drill", "--database", "large")
        assert again.code == 0, again.stderr
    finally:
        execute(fault_server, "postgres", "DROP DATABASE large")


def test_a_disk_that_is_read_only(site: FaultSite) -> None:
    with _mounted(site.store, "1m"):
        assert site.run(*BACKUP).code == 0
        subprocess.run(["mount", "-o", "remount,ro", str(site.store)], check=True)
        _one_sentence(site.run(*BACKUP), 2, "is not allowed (Read-only file system)")
        assert site.run("list").code == 0
        assert site.run("show", "newest", "--database", DATABASE).code == 0


def test_a_disk_that_is_not_mounted(site: FaultSite) -> None:
    """Its mount point is there, as an empty folder of another disk."""
    site.write({}, {"mount": str(site.store), "path": str(site.store / "backups")})
    message = f"The disk of store 'nightly' is not mounted at {site.store}; mount it and start again."
    with _mounted(site.store, "1m"):
        assert site.run(*BACKUP).code == 0
        assert site.run("verify").code == 0
    for words in (BACKUP, ("list",), ("verify",), ("prune",), ("drill", "--database", DATABASE)):
        _one_sentence(site.run(*words), 2, message)
    assert list(site.store.iterdir()) == []


@pytest.mark.parametrize(("loaded", "step"), [(True, 1), (False, 4)])
def test_of_open_files(site: FaultSite, loaded: bool, step: int) -> None:
    """Wherever the limit is met, nothing is half-written; with enough of them it works. Also while its modules are read."""
    refused = 0
    for limit in range(11, 64, step):
        answer = site.run(*BACKUP, open_files=limit) if loaded else _limited(site, limit)
        if answer.code == 0:
            break
        _one_sentence(answer, 1, "This process may not open more files; raise its limit (`ulimit -n`")
        assert [path for path in site.store.rglob("*") if path.is_file()] == []
        refused += 1
    assert answer.code == 0
    assert refused >= 3


def _limited(site: FaultSite, limit: int) -> Answer:
    """A backup of a shell that lets it open so many files."""
    line = f"ulimit -n {limit}; exec {shlex.join([*COMMAND, *BACKUP])}"
    argv = ["sh", "-c", line]
    done = subprocess.run(argv, cwd=site.folder, env=environment(), capture_output=True, timeout=60, check=False)
    return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())
