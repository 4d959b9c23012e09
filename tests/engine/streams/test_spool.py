"""A spool lives as long as its owner, wherever that runs, and no longer than until the next run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.streams.spool import spool_folder, sweep_spools
from tests.engine.hosts.away import eventually

PROJECT = Path(__file__).parents[3]
OWNER = """
import subprocess, sys
from pathlib import Path
from engine.streams.spool import spool_folder
with spool_folder(Path(sys.argv[1])) as folder:
    (folder / "stored").touch()
    subprocess.Popen(["sleep", "10"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    print(folder.name, flush=True)
    sys.stdin.read()
"""
CONTAINER = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


@contextmanager
def owner(base: Path, prefix: Sequence[str] = ()) -> Iterator[Path]:
    """A spool of another process, which is killed at the end of the block; a program it has started lives on."""
    argv = [*prefix, sys.executable, "-c", OWNER, str(base)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT) as process:
        assert process.stdout is not None
        try:
            yield base / process.stdout.readline().strip()
        finally:
            process.kill()
            process.wait()  # before its stdin ends, which would end it in order


@pytest.fixture
def container() -> Sequence[str]:
    """What runs a program where pids are its own."""
    if subprocess.run([*CONTAINER, "true"], capture_output=True, check=False).returncode:
        if os.environ.get("CI") == "true":
            pytest.fail("CI has to let the tests make a namespace of processes")
        pytest.skip("making a namespace of processes is not allowed here")
    return CONTAINER


def test_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), spool_folder(tmp_path) as folder:
        (folder / "stored").touch()
        assert folder.stat().st_mode & 0o777 == 0o700
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_living_owners_is_left_alone_and_a_killed_ones_removed(tmp_path: Path) -> None:
    with owner(tmp_path) as folder:
        assert sweep_spools(tmp_path) == 0
        assert (folder / "stored").exists()
    assert sweep_spools(tmp_path) == 1
    assert list(tmp_path.iterdir()) == []


def test_so_it_is_where_the_owner_runs_in_another_container(tmp_path: Path, container: Sequence[str]) -> None:
    with owner(tmp_path, container) as folder:
        with spool_folder(tmp_path) as own:
            assert sorted(tmp_path.iterdir()) == sorted([folder, own])
        assert (folder / "stored").exists()
    eventually(lambda: sweep_spools(tmp_path) == 1, "it is not removed")
    assert list(tmp_path.iterdir()) == []
