"""What is particular to a folder: modes, part files, links, a full disk, a lost mount."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.errors import ConfigurationError, NotFound, OperationFailed
from engine.stores.folder import FolderStore
from engine.stores.part_files import is_part, new_part_name
from engine.stores.settings import FolderSettings
from tests.engine.stores.test_contract import MIB, get, put

IS_ROOT = os.geteuid() == 0
KEY = "platform/cluster/20260207T170000Z-3f9a1c/000-globals.sql.gz"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> FolderStore:
    return FolderStore("nightly", root)


def everything(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_files_are_0600_and_folders_0700(store: FolderStore, root: Path) -> None:
    put(store, "platform/cluster/x")
    store.create("leases/prune", b"me")
    assert [mode(path) for path in (root, root / "platform", root / "platform/cluster", root / "leases")] == [0o700] * 4
    assert mode(root / "platform/cluster/x") == 0o600
    assert mode(root / "leases/prune") == 0o600


def test_every_new_folder_and_name_is_safe_on_disk(
    store: FolderStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def reported(descriptor: int) -> None:
        fsync(descriptor)
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))

    monkeypatch.setattr(os, "fsync", reported)
    put(store, "a/b/x")
    folders = [str(path) for path in (root.parent, root, root / "a", root / "a/b")]
    assert [path for path in synced if not is_part(Path(path).name)] == folders
    synced.clear()
    put(store, "a/b/y")
    assert [path for path in synced if not is_part(Path(path).name)] == folders[-1:]


def test_the_part_file_is_beside_the_final_name_and_closed_to_others(store: FolderStore, root: Path) -> None:
    with store.writer("a/x") as out:
        out.write(b"1")
        (part,) = (root / "a").iterdir()
        assert is_part(part.name)
        assert mode(part) == 0o600
        assert store.sweep() == 0  # its writer, this process, is alive
        assert part.exists()
    assert everything(root) == ["a", "a/x"]


def test_a_failed_write_leaves_not_even_a_folder(store: FolderStore, root: Path) -> None:
    with pytest.raises(ZeroDivisionError), store.writer("a/b/x"):
        raise ZeroDivisionError
    assert everything(root) == []


def test_delete_removes_emptied_folders_but_not_the_root_nor_others(store: FolderStore, root: Path) -> None:
    for key in ("app/db/x/1/a", "app/db/x/1/b", "app/db/x/2/a", "app-test/1"):
        put(store, key)
    store.delete(["app/db/x/1/a", "app/db/x/1/b"])
    assert everything(root) == [
        "app",
        "app-test",
        "app-test/1",
        "app/db",
        "app/db/x",
        "app/db/x/2",
        "app/db/x/2/a",
    ]
    store.delete(["app/db/x/2/a", "app-test/1"])
    assert everything(root) == []


def test_writers_and_deleters_of_one_folder_do_not_disturb_each_other(store: FolderStore) -> None:
    failures: list[Exception] = []

    def churn(name: str) -> None:
        try:
            for _ in range(150):
                put(store, f"a/b/{name}")
                store.delete([f"a/b/{name}"])
        except Exception as error:  # noqa: BLE001 - told to the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=churn, args=(name,)) for name in ("x", "y", "z")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert list(store.keys()) == []


def test_links_are_neither_listed_nor_followed(store: FolderStore, root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    put(store, "a/x")
    (root / "out").symlink_to(outside)
    (root / "a" / "link").symlink_to(outside / "secret")
    assert list(store.keys()) == ["a/x"]
    assert list(store.keys("out/")) == []
    assert [found.key for found in store.list()] == ["a/x"]
    for key in ("out/secret", "a/link"):
        with pytest.raises(NotFound, match="symbolic link"), store.reader(key):
            pass
    with pytest.raises(OperationFailed, match="symbolic link"):
        put(store, "out/new")
    store.delete(["out/secret", "a/link"])
    assert everything(outside) == ["secret"]
    assert everything(root) == ["a", "a/x", "out"]


def test_writing_over_a_link_replaces_the_link(store: FolderStore, root: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("old")
    put(store, "a/x")
    (root / "a/link").symlink_to(victim)
    put(store, "a/link", b"new")
    assert victim.read_text() == "old"
    assert get(store, "a/link") == b"new"


def test_the_root_itself_may_be_a_link(store: FolderStore, root: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    root.symlink_to(tmp_path / "disk")
    put(store, "a/x")
    assert list(store.keys()) == ["a/x"]


def test_strangers_are_not_listed(store: FolderStore, root: Path) -> None:
    put(store, "a/x")
    (root / "a" / ".hidden").touch()
    (root / "a" / "with space").touch()
    (root / ".snapshots").mkdir()
    (root / "lost+found").mkdir(mode=0)
    os.mkfifo(root / "a" / "pipe")
    assert list(store.keys()) == ["a/x"]
    assert store.sweep() == 0
    assert (root / "lost+found").is_dir()
    with pytest.raises(NotFound, match="no plain file"), store.reader("a/pipe"):
        pass


def marked_in_app(path: str) -> str | None:
    return "mark" if path.rpartition("/")[0] == "app" else None


def test_a_folder_is_told_by_its_mark_alone(store: FolderStore, root: Path, tmp_path: Path) -> None:
    (tmp_path / "mark").touch()
    for key in (
        "app/1/mark",
        "app/1/x",
        "app/1/deep/x",
        "app/2/x",
        "app/mark",
        "app/2-/mark",
        "mark",
        "z/1/mark",
        "z/1/x",
    ):
        put(store, key)
    (root / "app/3").mkdir()
    (root / "app/3/mark").symlink_to(tmp_path / "mark")
    (root / "app/4/mark").mkdir(parents=True)
    put(store, "app/4/mark/x")
    (root / "app/5").mkdir()
    os.mkfifo(root / "app/5/mark")
    (root / "app/6").symlink_to(root / "app/1")
    reported = list(store.folders("", marked_in_app))
    assert [(one.path, one.names, one.whole) for one in reported] == [
        ("app/1", ["mark"], False),
        ("app/2-", ["mark"], False),
        ("app/2", ["x"], True),
        ("app/4/mark", ["x"], True),
        ("app", ["mark"], True),  # one where none belongs hides nothing
        ("", ["mark"], True),
        ("z/1", ["mark", "x"], True),
    ]


def test_each_folder_is_asked_for_its_own_mark(store: FolderStore) -> None:
    for key in ("a/1/one", "a/1/x", "a/2/other", "a/2/x", "a/3/one", "a/3/deep/x", "b/one", "b/1/x", "one"):
        put(store, key)
    requested: list[str] = []

    def mark(path: str) -> str | None:
        requested.append(path)
        return {"a/1": "one", "a/2": "other", "a/3": "one"}.get(path)

    assert [(one.path, one.names, one.whole) for one in store.folders("", mark)] == [
        ("a/1", ["one"], False),
        ("a/2", ["other"], False),
        ("a/3", ["one"], False),
        ("b/1", ["x"], True),
        ("b", ["one"], True),
        ("", ["one"], True),
    ]
    assert sorted(requested) == ["a", "a/1", "a/2", "a/3", "b", "b/1"]
    assert [one.path for one in store.folders("a/3/", mark)] == ["a/3/deep", "a/3"]  # where a walk begins is read


def test_a_lost_mount_is_not_an_empty_store(tmp_path: Path) -> None:
    store = FolderStore("nightly", tmp_path / "mnt" / "store")
    for act in (lambda: put(store, "a/x"), lambda: list(store.keys()), lambda: store.sweep()):
        with pytest.raises(ConfigurationError, match="mount its disk or create"):
            act()
    assert everything(tmp_path) == []


def test_where_no_disk_is_mounted_nothing_is_read_or_written(small_disk: Path) -> None:
    link = small_disk.parent / "link"
    link.symlink_to(small_disk)
    for mount in (small_disk, link):
        put(FolderStore("nightly", small_disk / "backups", mount), "a/x")
    walking = FolderStore("nightly", small_disk / "backups", small_disk).folders()
    next(walking)
    subprocess.run(["umount", str(small_disk)], check=True)
    try:
        store = FolderStore("nightly", small_disk / "backups", small_disk)
        for act in (
            lambda: put(store, "a/y"),
            lambda: store.create("a/y", b""),
            lambda: list(store.keys()),
            lambda: list(store.list()),
            lambda: get(store, "a/x"),
            lambda: store.delete(["a/x"]),
            lambda: store.sweep(),
            lambda: list(walking),
        ):
            with pytest.raises(ConfigurationError) as raised:
                act()
            assert str(raised.value) == (
                f"The disk of store 'nightly' is not mounted at {small_disk}; mount it and start again."
            )
        assert everything(small_disk) == []
    finally:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small_disk)], check=True)


def test_a_disk_that_is_not_there_tells_nothing_about_a_key(tmp_path: Path) -> None:
    store = FolderStore("nightly", tmp_path / "disk" / "backups")
    with pytest.raises(ConfigurationError, match="is not there; mount its disk or create"), store.reader("a/x"):
        pass


def test_a_store_that_was_never_written_is_empty(store: FolderStore, root: Path) -> None:
    assert list(store.keys()) == []
    assert list(store.list("platform/")) == []
    assert store.delete(["a/x"]).deleted == ("a/x",)
    assert store.sweep() == 0
    assert not root.exists()


def test_the_sweep_takes_what_dead_writers_left(store: FolderStore, root: Path) -> None:
    put(store, "a/1/x")
    own = new_part_name().split("-")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    reused_pid = "-".join([*own[:3], own[3][:-1] + str((int(own[3][-1]) + 1) % 10), own[4]])
    dead_pid = "-".join([*own[:2], str(ended.pid), *own[3:]])
    alive, elsewhere = "-".join(own), "-".join([own[0], "00000000", *own[2:]])
    old_elsewhere = "-".join([own[0], "11111111", *own[2:]])
    (root / "b" / "2").mkdir(parents=True)
    for name in (alive, elsewhere, old_elsewhere, reused_pid, dead_pid):
        assert is_part(name)
        (root / "a" / "1" / name).touch()
    (root / "b" / "2" / dead_pid).touch()
    (root / "a" / "1" / ".part-of-somebody").touch()
    yesterday = time.time() - 25 * 3600
    for name in (alive, old_elsewhere):
        os.utime(root / "a" / "1" / name, (yesterday, yesterday))
    assert store.sweep("a/") == 3
    assert sorted(path.name for path in (root / "a" / "1").iterdir()) == sorted(
        [".part-of-somebody", alive, elsewhere, "x"]
    )
    assert store.sweep() == 1
    assert not (root / "b").exists()


def test_a_full_disk_is_one_sentence_and_leaves_nothing(small_disk: Path) -> None:
    store = FolderStore("nightly", small_disk)
    put(store, "a/x", b"good")
    with pytest.raises(OperationFailed) as raised, store.writer(KEY) as out:
        for _ in range(4):
            out.write(bytes(MIB))
    assert str(raised.value) == (
        f"The disk of store 'nightly' at {small_disk} is full: Writing {KEY} failed and left nothing; "
        "free space there or keep less in it, then start again."
    )
    assert everything(small_disk) == ["a", "a/x"]
    with pytest.raises(OperationFailed, match="is full"):
        store.create("leases/prune", bytes(4 * MIB))
    assert everything(small_disk) == ["a", "a/x"]
    put(store, KEY, b"fits")
    assert get(store, KEY) == b"fits"


def test_a_disk_that_became_read_only_is_one_sentence(small_disk: Path) -> None:
    store = FolderStore("nightly", small_disk)
    put(store, "a/x", b"good")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for act in (lambda: put(store, KEY), lambda: put(store, "a/y"), lambda: store.delete(["a/x"])):
        with pytest.raises(ConfigurationError, match=r"is not allowed \(Read-only file system\)"):
            act()
    assert get(store, "a/x") == b"good"


@pytest.fixture
def ordinary_user() -> Iterator[None]:
    """Not root, who may write everywhere."""
    if not IS_ROOT:
        yield
        return
    os.seteuid(pwd.getpwnam("nobody").pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.usefixtures("ordinary_user")
def test_a_folder_without_the_right_to_write_is_one_sentence() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        root = Path(folder, "store")
        root.mkdir(mode=0o500)
        with pytest.raises(ConfigurationError, match=r"is not allowed \(Permission denied\)"):
            put(FolderStore("nightly", root), KEY)


def test_settings_open_a_folder_relative_to_where_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.stores.opening import open_store

    monkeypatch.chdir(tmp_path)
    store = open_store("nightly", FolderSettings(path="store"))
    assert (store.name, store.address) == ("nightly", str(tmp_path / "store"))
    put(store, "a/x")
    monkeypatch.chdir("/")
    assert list(store.keys()) == ["a/x"]
