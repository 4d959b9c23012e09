"""A drill, whatever is kept."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.operations import drill
from engine.operations.drill import drill_set
from engine.repository.repository import Repository
from tests.engine.repository.made import MemoryStore, a_key, store_set

HOLDS = """
import sys
from engine.hosts.host_lock import holding_host
with holding_host(sys.argv[1], lambda: None):
    print("held", flush=True)
    input()
"""


@contextmanager
def another_drills(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of another TMPDIR that drills."""
    environment = {**os.environ, "TMPDIR": str(folder)}
    argv = [sys.executable, "-c", HOLDS, drill.LOCK]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"held\n"
            yield process
        finally:
            process.kill()


def test_two_drills_never_run_at_the_same_time_on_one_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of whatever servers, stores and temporary folders, also of one that cannot be opened: the second one says that it
    waits, and goes on when the first has ended, by kill -9 too."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "gone"))
    store, messages, waiting = MemoryStore(), list[str](), threading.Event()
    key = store_set(store, a_key("2026-02-07"))

    def report(what: str, done: int = 0, total: int = 0) -> None:
        messages.append(what)
        waiting.set()

    with ThreadPoolExecutor(1) as pool:
        with another_drills(tmp_path) as other:
            second = pool.submit(drill_set, Repository(store), key, "a test", report)
            assert waiting.wait(20)
            assert messages == ["wait for another drill on this host to end"]
            assert not second.done()
            assert [one for one in store.objects if "leases" in one or "verdicts" in one] == []
            other.kill()
        assert second.result(60).result in ("failed", "unverified")  # nobody can restore what it holds
