"""No secret gets out: not into Prefect, not into arguments, not into another user's environment, not into a store;
neither when all goes well nor when everything fails."""

from __future__ import annotations

import os
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.schemas.objects import StateType

from engine.hosts.processes import running_pids
from tests.flows.scene import Scene

pytestmark = [pytest.mark.installation, pytest.mark.xdist_group("scene")]

Seen = set[tuple[str, str]]
"""Which canary was seen, and where."""

_LOOKS = 50

GOOD: list[tuple[str, dict[str, Any]]] = [
    ("restore-drill", {"source": "sealed"}),
    ("verify-backups", {"store": "offsite"}),
    ("restore-databases", {"server": "sealed", "databases": ["small"]}),
]
BAD: list[tuple[str, dict[str, Any], str]] = [
    ("nightly-backup", {"source": "wrong"}, "password authentication failed"),
    ("restore-drill", {"source": "sealed", "store": "misread"}, "misread"),
    ("verify-backups", {"store": "forged"}, "its digest differs"),
]


@contextmanager
def watched(canaries: dict[str, str]) -> Iterator[Seen]:
    """Look at every new process's arguments, and at the environment of those of other users, until it is known.

    A process is looked at several times: it may become another program.
    """
    seen: Seen = set()
    over = threading.Event()

    def watch() -> None:
        looks: Counter[int] = Counter()
        while not over.wait(0.02):
            alive = set(running_pids())
            looks = Counter({pid: looks[pid] + 1 for pid in alive})
            for pid in alive:
                if looks[pid] < _LOOKS or looks[pid] % _LOOKS == 0:
                    seen.update((name, where) for where, name in _shown(pid, canaries))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def _shown(pid: int, canaries: dict[str, str]) -> Iterator[tuple[str, str]]:
    try:
        folder = Path(f"/proc/{pid}")
        texts = {"arguments": (folder / "cmdline").read_bytes()}
        if folder.stat().st_uid != os.geteuid():
            texts["another user's environment"] = (folder / "environ").read_bytes()
    except OSError:
        return
    for where, text in texts.items():
        yield from ((where, name) for name, canary in canaries.items() if canary.encode() in text)


@pytest.fixture(scope="module")
def seen(scene: Scene) -> Iterator[tuple[Seen, dict[UUID, str]]]:
    """What was seen while all of it ran, and the failed runs with what their messages must say."""
    ops = scene.installation
    with scene.workers("backup", "restore"), watched(scene.secrets) as found:
        ops.completed(ops.run("nightly-backup", source="sealed"))
        for run in [ops.run(name, **parameters) for name, parameters in GOOD]:
            ops.completed(run)
        bad = {ops.run(name, **parameters): part for name, parameters, part in BAD}
        for run in bad:
            ops.ended(run)
        yield found, bad


def test_the_watch_would_see_one() -> None:
    other: dict[str, Any] = {"user": "nobody"} if os.geteuid() == 0 else {}
    with (
        watched({"x": "canary-argument", "y": "canary-environment"}) as found,
        subprocess.Popen(
            ["sh", "-c", "sleep 1; : canary-argument"], env={**os.environ, "A": "canary-environment"}, **other
        ) as process,
    ):
        process.wait()
    expected = {("x", "arguments"), ("y", "another user's environment")}
    assert found == (expected if other else {("x", "arguments")})


def test_each_failure_says_what_without_the_secret(scene: Scene, seen: tuple[Seen, dict[UUID, str]]) -> None:
    for run, part in seen[1].items():
        state = scene.installation.ended(run).state
        assert state is not None
        assert state.type is StateType.FAILED
        assert part in (state.message or "")


def test_no_process_shows_a_secret(seen: tuple[Seen, dict[UUID, str]]) -> None:
    assert seen[0] == set()


def test_prefect_shows_no_secret(scene: Scene, seen: tuple[Seen, dict[UUID, str]]) -> None:
    pages = list(shown(scene))
    assert any("nightly-backup" in page for page in pages)
    assert any("postgresql-server" in page for page in pages)
    assert {name for name, secret in scene.secrets.items() for page in pages if secret in page} == set()


def shown(scene: Scene) -> Iterator[str]:
    """Everything the API gives about what there is, page by page; blocks even with their secrets."""
    more: dict[str, dict[str, Any]] = {"block_documents": {"include_secrets": True}}
    kinds = ("flow_runs", "task_runs", "logs", "artifacts", "block_documents", "events", "deployments")
    with scene.installation.client() as client:
        for kind in kinds:
            offset, page = 0, "[0]"
            while page != "[]" and offset < 20_000:
                body = {**more.get(kind, {}), **({} if kind == "events" else {"limit": 50, "offset": offset})}
                page = client._client.post(f"/{kind}/filter", json=body).text
                yield page
                offset += 50 if kind != "events" else 20_000
            # The oldest states of a run, too: each run has several.
        for run in client.read_flow_runs():
            yield client._client.get(f"/flow_run_states/?flow_run_id={run.id}").text


def test_no_file_holds_a_secret(scene: Scene, seen: tuple[Seen, dict[UUID, str]]) -> None:
    """Prefect's database, its results, the logs of server and workers, what is stored, what was left in /tmp."""
    found = {
        (name, path.relative_to(scene.folder))
        for path in scene.folder.rglob("*")
        if path.is_file() and not path.is_relative_to(scene.folder / "pg")
        for data in [path.read_bytes()]
        for name, secret in scene.secrets.items()
        if secret.encode() in data
    }
    assert found == set()
    assert (scene.installation.layout.prefect / "prefect.db").stat().st_size > 100_000
