"""A drill, whatever is kept."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.hosts.folder_lock import holding_folder
from engine.operations.drill import drill_set
from engine.repository.repository import Repository
from tests.engine.repository.made import MemoryStore, a_key, store_set


def test_two_drills_never_run_at_the_same_time_on_one_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of whatever servers and stores: the second one says that it waits, and goes on when the first has ended."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    store, said, waiting = MemoryStore(), list[str](), threading.Event()
    key = store_set(store, a_key("2026-02-07"))

    def tell(what: str, done: int = 0, total: int = 0) -> None:
        said.append(what)
        waiting.set()

    with holding_folder(tmp_path / "gone", lambda: None):
        pass  # what is wrong with it is told by who needs it
    with ThreadPoolExecutor(1) as pool:
        with holding_folder(tmp_path, lambda: None):
            drill = pool.submit(drill_set, Repository(store), key, "a test", tell)
            assert waiting.wait(20)
            assert said == ["wait for another drill on this host to end"]
            assert not drill.done()
            assert [one for one in store.objects if "leases" in one or "verdicts" in one] == []
        assert drill.result(60).result in ("failed", "unverified")  # nobody can restore what it holds
