"""kill -9 at every step of the journal: the next run finishes or reverts, one version serves, nothing is left."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from engine.progress import silent
from engine.steps import InShell
from tests.engine.releases.place import Place

pytestmark = pytest.mark.xdist_group("releases")
OLD, NEW = "1.0.0", "1.1.0"
STEPS = (
    ("place", OLD),
    ("migrate kohub-backend", OLD),
    ("replace termix", OLD),
    ("hold", OLD),
    ("start", OLD),
    ("switch", OLD),
    ("smoke", OLD),
    ("watch", OLD),
    ("accept", NEW),
    ("retire", NEW),
    ("settle", NEW),
)
"""The steps of the deploy below in their order, and what serves after the next run has put things right."""


def killed(place: Place, moment: str, step: str) -> None:
    argv = (
        sys.executable,
        "-m",
        "tests.engine.releases.killed_at",
        place.directory,
        place.project,
        place.port,
        place.store,
    )
    done = subprocess.run(
        [*map(str, argv), "deploy", moment, step, f"kohub_backend={NEW}", f"termix={NEW}"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize(("step", "serves"), STEPS)
def test_killed_after_a_steps_work(place: Place, step: str, serves: str) -> None:
    with place.under_load(60) as counts:
        killed(place, "after", step)
        run = place.run("resume")
        run.resume(InShell(silent))
    assert f"it was {'reverted' if serves == OLD else 'finished'}" in run.recovered
    assert counts.failures == {}
    assert (place.version("kohub-backend"), place.version("termix")) == (serves, serves)
    assert place.leftovers() == []
    if serves == NEW:
        assert place.by_hand() == ""
        place.change("rollback")
        assert place.version("kohub-backend") == OLD


def test_killed_before_any_work_of_a_step(place: Place) -> None:
    killed(place, "before", "switch")
    run = place.change()  # the next deploy puts things right, and goes on
    assert "it was reverted" in run.recovered
    assert run.plan is not None and run.plan.empty
    assert place.leftovers() == []


def test_the_lock_of_a_killed_run_is_free_soon(place: Place) -> None:
    killed(place, "before", "place")
    began = time.monotonic()
    place.run("resume").resume(InShell(silent))
    assert time.monotonic() - began < 30
    assert place.leftovers() == []
