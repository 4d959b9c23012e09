"""kill -9 at every step of the journal, of `platformctl` and of a flow run: the next run finishes or reverts, one version
serves, nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from blocks import BackupStore, Platform
from engine.cli import main
from engine.config.settings import FolderStore
from engine.sources.postgres.scratch.socket_and_port import free_port
from tests.engine.releases.small_platform import SmallPlatform, small_platform

pytestmark = [pytest.mark.installation, pytest.mark.xdist_group("killed releases")]
OLD, NEW = "1.0.0", "1.1.0"
STEPS = (
    ("place", OLD),
    ("migrate kohub-backend", OLD),
    ("replace termix", OLD),
    ("start", OLD),
    ("hold", OLD),
    ("await", OLD),
    ("switch", OLD),
    ("smoke", OLD),
    ("watch", OLD),
    ("accept", NEW),
    ("retire", NEW),
    ("settle", NEW),
)
"""The steps of the deploy below in their order, and what serves after the next run has put things right."""


WAYS = ("platformctl", "flow")


@pytest.fixture(scope="module")
def known(small: SmallPlatform, prefect_server: str) -> Iterator[SmallPlatform]:
    """The platform as both ways know it: by the configuration file, and by blocks."""
    Platform.of(small.settings).save("small", overwrite=True)
    BackupStore.of(FolderStore(path=str(small.store))).save("records", overwrite=True)
    yield small


def killed(small: SmallPlatform, way: str, moment: str, step: str, version: str = NEW) -> None:
    from prefect.settings import get_current_settings

    words = (way, moment, step, "small", f"kohub-backend={version}", f"termix={NEW}")
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.releases.killed_at", *words],
        env=os.environ
        | get_current_settings().to_environment_variables(exclude_unset=True)
        | {"PLATFORM_OPS_CONFIG": str(small.config)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


def resumed(small: SmallPlatform, capsys: pytest.CaptureFixture[str]) -> str:
    """What `platformctl resume` says."""
    assert main(["--config", str(small.config), "resume"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("step", "serves"), STEPS)
def test_killed_after_a_steps_work(
    known: SmallPlatform, way: str, step: str, serves: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with known.under_load(60) as counts:
        killed(known, way, "after", step)
        message = resumed(known, capsys)
    assert f"it was {'reverted' if serves == OLD else 'finished'}" in " ".join(message.split())
    assert counts.failures == {}
    assert (known.version("kohub-backend"), known.version("termix")) == (serves, serves)
    assert known.leftovers() == []
    if serves == NEW:
        assert known.by_hand() == ""
        known.change("rollback")
        assert known.version("kohub-backend") == OLD


@pytest.mark.parametrize("way", WAYS)
def test_killed_before_any_work_of_a_step(known: SmallPlatform, way: str) -> None:
    killed(known, way, "before", "switch")
    run = known.change()  # the next deploy puts things right, and goes on
    assert "it was reverted" in run.recovered
    assert run.plan is not None and run.plan.empty
    assert known.leftovers() == []


@pytest.mark.parametrize("step", ["hold", "replace termix"])
def test_killed_while_a_bad_release_is_taken_back(
    known: SmallPlatform, step: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with known.under_load(60) as counts:
        killed(known, "platformctl", "undo", step, "1.2.0-failing-smoke")
        message = resumed(known, capsys)
    assert "it was reverted" in " ".join(message.split())
    assert counts.failures == {}
    assert (known.version("kohub-backend"), known.version("termix")) == (OLD, OLD)
    assert known.leftovers() == []


@pytest.mark.parametrize("step", ["replace kohub-backend", "replace nginx"])
def test_a_first_deploy_that_is_killed_leaves_nothing(
    known: SmallPlatform, tmp_path: Path, step: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with small_platform(tmp_path, free_port(28_960)) as small:
        killed(small, "platformctl", "after", step)
        assert "it was reverted" in " ".join(resumed(small, capsys).split())
        assert small.containers() == {}
        assert not (small.directory / "run/journal.json").exists()
        small.change()
        assert small.leftovers() == []


def test_the_lock_of_a_killed_run_is_free_soon(known: SmallPlatform, capsys: pytest.CaptureFixture[str]) -> None:
    killed(known, "platformctl", "before", "place")
    began = time.monotonic()
    resumed(known, capsys)
    assert time.monotonic() - began < 30
    assert known.leftovers() == []
