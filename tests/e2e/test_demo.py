"""The README's first command, as a new user runs it: in a folder that holds only what git would give."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from engine.hosts.processes import ProcessIdentity
from tests.quick import starting

pytestmark = [pytest.mark.installation, pytest.mark.xdist_group("demo")]

ROOT = Path(__file__).parents[2]
SECONDS = 900


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What git knows of this tree, copied."""
    starting("demo")
    folder = tmp_path_factory.mktemp("user") / "platform-ops"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    yield folder
    make(folder, "clean")


def make(folder: Path, target: str) -> subprocess.CompletedProcess[str]:
    outside = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "PYTEST_"))}
    return subprocess.run(
        ["make", target],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env=outside,
    )


def recorded(folder: Path) -> list[ProcessIdentity]:
    state = json.loads((folder / ".demo/state.json").read_text())
    return [ProcessIdentity(each["pid"], each["started"]) for each in state["processes"].values()]


@pytest.fixture(scope="module")
def first(checkout: Path) -> subprocess.CompletedProcess[str]:
    return make(checkout, "demo")


def test_the_first_demo_ends_with_a_proven_backup(first: subprocess.CompletedProcess[str]) -> None:
    assert first.returncode == 0, first.stdout + first.stderr
    assert "passed" in first.stdout
    assert re.search(r"Restore drill of platform/cluster/\S+: passed", first.stdout)


def test_its_processes_are_recorded_and_alive_and_its_ui_answers(
    checkout: Path, first: subprocess.CompletedProcess[str]
) -> None:
    identities = recorded(checkout)
    assert len(identities) == 4  # PostgreSQL, the Prefect server, two workers
    assert all(identity.alive() for identity in identities)
    [address] = re.findall(r"Prefect's UI is at (http://127\.0\.0\.1:\d+)", first.stdout)
    assert httpx.get(f"{address}/api/health").json() is True


def test_the_second_demo_is_another_backup_run(checkout: Path, first: subprocess.CompletedProcess[str]) -> None:
    second = make(checkout, "demo")
    assert second.returncode == 0, second.stdout + second.stderr
    clusters = list((checkout / ".demo/store").glob("*/cluster/*/manifest.json"))
    assert len(clusters) == 2


def test_platformctl_reads_the_same_store(checkout: Path, first: subprocess.CompletedProcess[str]) -> None:
    listed = subprocess.run(
        [".venv/bin/platformctl", "--config", ".demo/platform-ops.toml", "--json", "list"],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=True,
    )
    document = json.loads(listed.stdout)
    assert (document["schema"], document["command"], document["ok"]) == (1, "list", True)
    assert "proven" in listed.stdout


def test_stop_ends_exactly_what_was_started_and_keeps_the_data(
    checkout: Path, first: subprocess.CompletedProcess[str]
) -> None:
    identities = recorded(checkout)
    assert make(checkout, "stop").returncode == 0
    assert not any(identity.alive() for identity in identities)
    assert list((checkout / ".demo/store").glob("*/cluster/*/manifest.json"))


def test_prefect_s_database_was_never_locked(checkout: Path, first: subprocess.CompletedProcess[str]) -> None:
    logs = {path.name: path.read_text(errors="replace") for path in (checkout / ".demo/logs").glob("*.log")}
    assert {"prefect-server.log", "worker-backup.log", "worker-restore.log"} <= logs.keys()
    assert [name for name, text in logs.items() if "database is locked" in text] == []


def test_clean_removes_all_of_it(checkout: Path, first: subprocess.CompletedProcess[str]) -> None:
    assert make(checkout, "clean").returncode == 0
    assert not (checkout / ".demo").exists()
