"""Volumes of a real engine: stored, proven, restored; by our own means and by stock ones."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from pyrage import x25519

from engine.streams.spool import temporary_base
from tests.engine.hosts.parts import program
from tests.engine.sources.volumes.scene import Engine, database, going, kept, longest_pause, odd_things, tree, until

pytestmark = [pytest.mark.installation, pytest.mark.xdist_group("volumes")]


def test_whatever_a_volume_holds_comes_back_equal(engine: Engine, tmp_path: Path) -> None:
    folder = engine.volume("--label", "its=own")
    name, before = folder.parent.name, tree(folder)
    odd_things(folder)
    before = tree(folder)
    site = kept(engine, tmp_path, {name: "none"})
    [made] = site.run("backup")["stored"]
    assert (made["facts"]["volume"], made["facts"]["links_out"], made["missing"]) == (name, 1, [])
    assert (made["facts"]["files"], made["facts"]["folders"]) == (16, 62)
    drilled = site.run("drill", "newest")
    assert (drilled["result"], drilled["sentence"]) == (
        "passed", "1 volume, 62 folders and 16 files came back equal"
    )  # fmt: skip
    assert site.run("list")["stores"][0]["sets"][0]["state"] == "proven"

    stock = tmp_path / "stock"
    stock.mkdir()
    unpack = 'gunzip -c "$1" | tar --extract --numeric-owner --acls --xattrs --xattrs-include="*" --directory="$2"'
    subprocess.run(["sh", "-c", unpack, "sh", site.archive(made["set_key"]), stock], check=True)
    assert tree(stock) == before

    [beside] = site.run("volume", "restore", name)["restored"]
    engine.named(f"{name}-")
    assert tree(engine.folder(beside["name"])) == before
    (folder / "d" / "a").write_text("written since")
    since = tree(folder)
    [there] = site.run("volume", "restore", name, "--in-place", "--confirm", name)["restored"]
    assert there["kept"].startswith(f"{name}-before-")
    engine.named(f"{name}-")
    assert tree(folder) == before
    assert tree(engine.folder(there["kept"])) == since

    engine("volume", "rm", name)
    [again] = site.run("volume", "restore", "--all", "--in-place")["restored"]
    assert (again["name"], again["kept"]) == (name, None)
    assert tree(folder) == before
    [labels] = json.loads(engine("volume", "inspect", name))
    assert labels["Labels"]["its"] == "own"  # compose knows its volumes by their labels
    assert engine.ours(site.source) == []
    assert engine("volume", "ls", "--quiet", "--filter", "label=platform-ops.scratch") == ""


def test_encrypted_it_comes_back_equal_too_and_nothing_stays_of_what_broke_off(engine: Engine, tmp_path: Path) -> None:
    folder = engine.volume()
    name = folder.parent.name
    odd_things(folder)
    (folder / "upload").write_bytes(os.urandom(9 << 20))
    (folder / "text").write_text("the quick brown fox\n" * 400_000)
    before = tree(folder)
    identity = x25519.Identity.generate()
    (tmp_path / "identity").write_text(f"{identity}\n")
    site = kept(engine, tmp_path, {name: "none"})
    with site.site.config.open("a") as config:
        config.write(f'recipients = ["{identity.to_public()}"]\nidentity = "file:{tmp_path / "identity"}"\n')
    [made] = site.run("backup")["stored"]
    assert site.run("drill", "newest")["result"] == "passed"
    [beside] = site.run("volume", "restore", name)["restored"]
    engine.named(f"{name}-")
    assert tree(engine.folder(beside["name"])) == before
    stored = (site.site.store / made["set_key"] / "volume.tar.gz.age").read_bytes()
    assert stored.startswith(b"age-encryption.org/v1") and b"quick brown" not in stored

    files = site.site.files()
    with going(site, "backup") as run:
        until(lambda: any("-read-" in each for each in engine.ours(site.source)))
        run.send_signal(signal.SIGSTOP)
        [reader] = [each for each in engine.ours(site.source) if "-read-" in each]
        engine("kill", reader)
        run.send_signal(signal.SIGCONT)
        assert run.wait(60) == 1
    assert site.site.files() == files


def test_podman_s_own_import_takes_the_archive(engine: Engine, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    folder = engine.volume()
    odd_things(folder)
    site = kept(engine, tmp_path, {folder.parent.name: "none"})
    [made] = site.run("backup")["stored"]
    tar = tmp_path / "volume.tar"
    with tar.open("wb") as file:
        subprocess.run(["gunzip", "-c", site.archive(made["set_key"])], stdout=file, check=True)
    short = tempfile.mkdtemp(prefix="po-v-", dir=temporary_base())  # podman takes no long paths
    request.addfinalizer(lambda: shutil.rmtree(short, ignore_errors=True))
    podman = [program("podman"), "--root", f"{short}/root", "--runroot", f"{short}/run", "--cgroup-manager", "cgroupfs"]
    subprocess.run([*podman, "volume", "create", "again"], check=True, capture_output=True)
    subprocess.run([*podman, "volume", "import", "again", str(tar)], check=True, capture_output=True)
    inspect = [*podman, "volume", "inspect", "--format", "{{.Mountpoint}}", "again"]
    there = Path(subprocess.run(inspect, check=True, capture_output=True, text=True).stdout.strip())
    before, after = tree(folder), tree(there)
    assert after.keys() == before.keys()
    for path in before.keys() - {
        "."
    }:  # podman leaves the volume's own folder as it made it, times are of whole seconds
        one = before[path]
        wanted = {each: one.get(each) for each in ("mode", "owner", "contents", "link", "first")}
        assert (path, {each: after[path].get(each) for each in wanted}) == (path, wanted)


def test_a_service_that_writes_all_the_time_is_not_stopped_where_sqlite_can_hold_its_database(
    engine: Engine, tmp_path: Path
) -> None:
    folder = engine.volume()
    name = folder.parent.name
    service = engine.service(name)
    started = engine.started(service)
    site = kept(engine, tmp_path, {name: "sqlite"})
    until(lambda: has_rows(folder / "kuma.db"))
    with others_at(folder / "kuma.db", lambda: any("-hold-" in one for one in engine.ours(site.source))) as refused:
        [made] = site.run("backup")["stored"]
    assert len(refused) <= 1  # nor is one whose patience is short: on a busy machine it waits for the disk alone
    assert (made["facts"]["databases"], made["facts"]["stopped"]) == (["kuma.db"], [])
    assert (engine.started(service), engine.running(service)) == (started, True)
    drilled = site.run("drill", "newest")
    assert (drilled["result"], drilled["remarks"]) == ("passed", {"databases": "kuma.db: ok"})
    [beside] = site.run("volume", "restore", name)["restored"]
    engine.named(f"{name}-")
    rows = database(engine.folder(beside["name"]) / "kuma.db")
    assert rows[0] == "ok" and rows[1] > 0
    engine("stop", service)
    assert database(folder / "kuma.db")[1] > rows[1]  # it went on meanwhile
    assert longest_pause(folder / "kuma.db") < 2.0


def has_rows(path: Path) -> bool:
    """Whether the service has begun to write."""
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(f"file:{path}?mode=rw", uri=True)) as one:
        return bool(one.execute("SELECT count(*) FROM beat").fetchone()[0])
    return False


@contextmanager
def others_at(path: Path, held: Callable[[], bool]) -> Iterator[list[str]]:
    """One that reads in one long transaction, until some seconds after it is to be held, and one that writes and waits
    for nobody: what it was refused."""
    refused: list[str] = []
    over = threading.Event()

    def read() -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as one:
            one.execute("BEGIN")
            one.execute("SELECT count(*) FROM beat").fetchall()
            until(lambda: over.is_set() or held())
            over.wait(4)

    def write() -> None:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=0.9)) as one:
            while not over.wait(0.02):
                try:
                    one.execute("CREATE TABLE IF NOT EXISTS hasty (n)")
                    one.execute("INSERT INTO hasty VALUES (1)")
                except sqlite3.OperationalError as error:
                    refused.append(str(error))

    threads = [threading.Thread(target=each) for each in (read, write)]
    for each in threads:
        each.start()
    try:
        yield refused
    finally:
        over.set()
        for each in threads:
            each.join()


def test_a_database_that_is_made_or_replaced_while_its_volume_is_read_fails_the_set(
    engine: Engine, tmp_path: Path
) -> None:
    """Each of its files may be read whole, and yet they are of two moments."""
    folder = engine.volume()
    name, new = folder.parent.name, folder / "new.db"
    (folder / "large").write_bytes(os.urandom(1 << 20) * 64)
    for path in (folder / "kuma.db", folder.parent / "next.db"):
        a_database(path)
    site = kept(engine, tmp_path, {name: "sqlite"})
    with going(site, "backup") as run:
        until(lambda: any("-hold-" in one for one in engine.ours(site.source)))
        a_database(new)
        message = run.communicate(timeout=60)[1].decode()
    assert run.returncode == 1
    assert f"The database 'new.db' of {name} was made, or put in place of another, while the volume was read" in message
    new.unlink()
    with going(site, "backup") as run:
        [first] = until(lambda: [each for each in engine.ours(site.source) if "-read-" in each])
        until(lambda: [each for each in engine.ours(site.source) if "-read-" in each and each != first])
        (folder.parent / "next.db").rename(folder / "kuma.db")
        message = run.communicate(timeout=60)[1].decode()
    assert run.returncode == 1
    assert f"The database kuma.db of {name} is not the one that was held: another file took its place" in message
    assert site.site.files() == set()


def a_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as one:
        one.execute("PRAGMA journal_mode=WAL")
        one.execute("CREATE TABLE a (b)")
        one.commit()


def test_what_has_to_stop_is_stopped_until_its_files_are_read_and_runs_again_before_its_database_is(
    engine: Engine, tmp_path: Path
) -> None:
    folder = engine.volume()
    name = folder.parent.name
    service = engine.service(name)
    (folder / "settings.json").write_text("{}")
    site = kept(engine, tmp_path, {name: "stop"})
    other = engine.volume()
    engine.service(other.parent.name, more=("--volume", f"{name}:/also:ro"))  # reads only: it is not stopped
    before = engine.started(engine.containers[-1])
    run = site.run("backup")
    [made] = run["stored"]
    assert made["facts"]["stopped"] == [service]
    assert any(f"{name} is mounted by " in remark for remark in run["remarks"])
    assert engine.running(service) and engine.started(engine.containers[-1]) == before
    assert site.run("drill", "newest")["result"] == "passed"
    [there] = site.run("volume", "restore", name, "--in-place", "--confirm", name)["restored"]
    engine.named(f"{name}-")
    assert engine.running(service)
    engine("stop", service)
    assert database(folder / "kuma.db")[0] == "ok"
    assert database(engine.folder(there["kept"]) / "kuma.db")[0] == "ok"


def test_a_database_that_cannot_be_held_is_said(engine: Engine, tmp_path: Path) -> None:
    folder = engine.volume()
    name = folder.parent.name
    engine.service(name, mode="DELETE")
    site = kept(engine, tmp_path, {name: "sqlite"})
    answer = site.answer("backup")
    assert answer.code == 1
    assert f"The database 'kuma.db' of {name} is not in WAL mode" in answer.problem
    stopping = kept(engine, tmp_path / "stop", {name: "stop"})
    [made] = stopping.run("backup")["stored"]
    assert made["facts"]["databases"] == ["kuma.db"]
    assert stopping.run("drill", "newest")["result"] == "passed"


def test_volumes_that_nobody_declared_are_named_and_excluded_ones_are_not(engine: Engine, tmp_path: Path) -> None:
    folder = engine.volume()
    site = kept(engine, tmp_path, {folder.parent.name: "none"}, 'exclude = ["{}"]')
    new, omitted = (engine.volume("--label", f"com.docker.compose.project={site.source}").parent.name for _ in range(2))
    config = site.site.config.read_text().replace("{}", omitted)
    site.site.config.write_text(config)
    run = site.run("backup")
    assert [remark for remark in run["remarks"] if "not backed up" in remark] == [
        f"not backed up: {new}. Name it in `volumes` of its source, or in `exclude`."
    ]
    assert {one["name"]: one["why"] for one in run["skipped"]} == {
        new: "nobody declared it",
        omitted: "excluded by the configuration",
    }
    message = f"not backed up: {new}. Name it in `volumes` of its source, or in `exclude`."
    checked = site.answer("check")
    assert (checked.code, checked.document["result"]["forgotten"]) == (1, [message])
    assert message in checked.problem
    site.site.config.write_text(config.replace(omitted, new).replace(folder.parent.name, "never-there"))
    checked = site.answer("check")
    assert checked.document["result"]["forgotten"] == [message.replace(new, omitted)]
    assert "volume never-there of " in checked.problem and "was never recorded" in checked.problem


def test_a_file_that_changes_while_it_is_read_fails_its_set(engine: Engine, tmp_path: Path) -> None:
    folder = engine.volume()
    name, over = folder.parent.name, threading.Event()
    (folder / "a").write_bytes(b"x" * (200 << 20))

    def change() -> None:
        with (folder / "a").open("ab") as file:
            while not over.is_set():
                file.write(b"more")
                file.flush()
                time.sleep(0.001)

    site = kept(engine, tmp_path, {name: "none"})
    writer = threading.Thread(target=change)
    writer.start()
    try:
        answer = site.answer("backup")
    finally:
        over.set()
        writer.join()
    assert answer.code == 1
    assert f"{name} changed while it was read, so nothing was stored: a: file changed as we read it" in answer.problem
    assert site.site.files() == set()
