"""A long walk with its second process: the same keys in the same order, whatever becomes of that process."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from engine.errors import OperationFailed
from engine.hosts.processes import ProcessIdentity
from engine.stores import folder_aide
from engine.stores.base import StoredFolder
from engine.stores.folder import FolderStore

COUNT = 2600
FEW = 600  # as many folders in one of those


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,600 folders beside each other with a file or two each, one of them with 600 more in it."""
    root = tmp_path_factory.mktemp("full") / "저장"  # in no encoding that is taken for granted
    for number in range(COUNT):
        folder = root / "all" / f"{number:04}"
        folder.mkdir(parents=True)
        (folder / ("mark" if number % 3 else "other")).touch()
    for number in range(FEW):
        (root / "all/2001/below" / f"{number:04}").mkdir(parents=True)
        (root / "all/2001/below" / f"{number:04}" / "x").touch()
    for name in (b"\xff\xfe", "이름".encode(), b'a"b\n', b".part-x"):
        (root / "all/0300" / os.fsdecode(name)).touch()
    (root / "all/0301/link").symlink_to(root / "all/0302")
    return root


class Known(folder_aide.Aide):
    taken: ClassVar[list[Known]]

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.pid = self._process.pid if self._process else 0
        self.taken.append(self)


@pytest.fixture
def aides(monkeypatch: pytest.MonkeyPatch) -> list[Known]:
    """The aides that were taken."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    Known.taken = []

    monkeypatch.setattr(folder_aide, "Aide", Known)
    return Known.taken


def mark(path: str) -> str | None:
    return "mark" if path.rpartition("/")[0] == "all" else None


def alone(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[StoredFolder]:
    with monkeypatch.context() as patched:
        patched.setattr(os, "sched_getaffinity", lambda _: {0})
        return list(FolderStore("nightly", root).folders("", mark))


def gone(pid: int) -> bool:
    return ProcessIdentity.of(pid) is None


def test_with_an_aide_the_same_is_found(full: Path, aides: list[Known], monkeypatch: pytest.MonkeyPatch) -> None:
    expected = alone(full, monkeypatch)
    assert aides == []
    assert len(expected) == COUNT + FEW
    assert expected[300] == StoredFolder("all/0300", ["other"], None)
    assert expected[301] == StoredFolder("all/0301", ["mark"], None, whole=False)
    assert list(FolderStore("nightly", full).folders("", mark)) == expected
    assert len(aides) == 1
    every = list(FolderStore("nightly", full).keys())
    assert every == sorted(every)
    assert len(every) == COUNT + FEW


def test_few_folders_take_no_aide(tmp_path: Path, aides: list[Known]) -> None:
    for number in range(600):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}" / "x").touch()
    assert len(list(FolderStore("nightly", tmp_path).keys())) == 600
    assert aides == []


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("at", [0, 1500])
def test_an_aide_that_dies_or_stops_is_done_without(
    full: Path, aides: list[Known], monkeypatch: pytest.MonkeyPatch, blow: signal.Signals, at: int
) -> None:
    expected = alone(full, monkeypatch)
    found: list[StoredFolder] = []
    for one in FolderStore("nightly", full).folders("", mark):
        if len(found) == at:
            monkeypatch.setattr(folder_aide, "_PATIENCE_SECONDS", 0.2)  # not before: a slow one would be given up
            pid = aides[0].pid
            os.kill(pid, blow)
        found.append(one)
    assert found == expected
    assert gone(pid)


def test_an_aide_that_does_not_start_or_is_another_program_is_done_without(
    full: Path, aides: list[Known], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = alone(full, monkeypatch)
    other = tmp_path / "other"
    other.write_text("#!/bin/sh\nwhile read -r line; do echo '[]'; done\n")
    other.chmod(0o700)
    for program in (str(tmp_path / "none"), "/bin/false", "/bin/echo", str(other), ""):
        monkeypatch.setattr(sys, "executable", program)
        assert list(FolderStore("nightly", full).folders("", mark)) == expected
    assert len(aides) == 5


def test_a_walk_that_is_given_up_lets_its_aide_go(full: Path, aides: list[Known]) -> None:
    walking = FolderStore("nightly", full).folders()
    next(iter(walking))
    pid = aides[0].pid
    assert not gone(pid)
    assert isinstance(walking, Iterator)
    walking.close()  # type: ignore[attr-defined]
    assert gone(pid)


@pytest.fixture
def copied(full: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(full, tmp_path / "copy", symlinks=True))


def test_what_vanishes_on_the_way_is_left_out(copied: Path, aides: list[Known]) -> None:
    walking = FolderStore("nightly", copied).folders()
    found = [next(walking)]
    for number in (1000, 2599):
        shutil.rmtree(copied / f"all/{number:04}")
    found += walking
    assert [one.path for one in found if one.path in ("all/0999", "all/1000", "all/2599")] == ["all/0999"]
    assert len(found) == COUNT + FEW - 2
    assert len(aides) == 1


def test_what_the_aide_cannot_look_at_is_told_as_ever(copied: Path, aides: list[Known]) -> None:
    walking = FolderStore("nightly", copied).folders()
    next(walking)
    shutil.rmtree(copied / "all/2599")
    (copied / "all/2599").touch()
    with pytest.raises(OperationFailed, match="met a file or symbolic link where a folder belongs"):
        list(walking)
    assert len(aides) == 1
    assert gone(aides[0].pid)


WALK = """
import os, sys, time
from pathlib import Path
from engine.stores.folder import FolderStore
os.sched_getaffinity = lambda _: {0, 1}
walking = FolderStore("nightly", Path(sys.argv[1])).folders()
next(walking)
print("walking", flush=True)
time.sleep(60)
"""


def test_a_killed_walk_leaves_no_aide(full: Path) -> None:
    walk = subprocess.Popen([sys.executable, "-c", WALK, str(full)], stdout=subprocess.PIPE)
    assert walk.stdout is not None
    assert walk.stdout.readline() == b"walking\n"
    children = Path(f"/proc/{walk.pid}/task/{walk.pid}/children").read_text().split()
    assert len(children) == 1
    walk.kill()
    walk.communicate()
    deadline = time.monotonic() + 10
    while not gone(int(children[0])) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert gone(int(children[0]))
