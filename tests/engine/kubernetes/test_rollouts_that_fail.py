"""Rollouts that cannot succeed: known early, undone by themselves, with the reason."""

from __future__ import annotations

import time

import pytest

from engine.errors import PlatformOpsError
from engine.kubernetes import records
from engine.kubernetes.errors import Invalid
from engine.kubernetes.waiting import RolloutFailed
from engine.operations.cluster_release import ClusterRun
from engine.progress import silent
from engine.steps import InShell
from tests.engine.kubernetes.application import CANARY, App
from tests.kubebox import NEW, OLD

pytestmark = pytest.mark.xdist_group("kubernetes")
EARLY = 60.0
"""Far below the 90 s that a rollout has here."""


def _fails(app: App, version: str = OLD, kind: type[PlatformOpsError] = RolloutFailed) -> tuple[ClusterRun, str, float]:
    run, began = app.run(version=version), time.monotonic()
    with pytest.raises(kind) as caught:
        run.carry_out(InShell(silent))
    return run, str(caught.value), time.monotonic() - began


def _serves(app: App, version: str) -> None:
    pods = app.pods()
    ready = [pod for pod in pods if pod["status"]["containerStatuses"][0]["ready"]]
    assert [pod["spec"]["containers"][0]["image"].rpartition(":")[2] for pod in ready] == [version] * 2


def test_an_image_that_does_not_exist_a_crash_and_a_probe_that_never_passes(app: App) -> None:
    app.deploy(OLD)

    run, said, took = _fails(app, "cccccccc-20260103000000")
    assert "cannot be pulled" in said and took < EARLY
    assert run.undone == f"It was undone: local.test/kerp/api:{OLD} runs again."
    assert any(reason == "Failed" for _, reason, _ in run.evidence.events)
    _serves(app, OLD)

    app.configure("crash")
    run, said, took = _fails(app, NEW)
    assert "crashes again and again" in said and took < EARLY
    assert "fatal: no such table" in run.evidence.lines
    assert any("exit code 3" in state for *_, state in run.evidence.states)
    _serves(app, OLD)
    data = app.cluster.get("-n", app.namespace, "configmap", "kerp-config")["data"]
    assert data["MODE"] == "well", "the configuration is as it was, too"

    app.configure("crash-after-ready", ready_seconds=5)
    run, said, took = _fails(app, NEW)
    assert "crashes again and again" in said and took < EARLY
    assert "fatal: out of connections" in run.evidence.lines
    _serves(app, OLD)

    app.configure("never-ready")
    run, said, took = _fails(app, NEW)
    assert "readiness probe never passed" in said and took < EARLY
    _serves(app, OLD)

    states = [each.state for each in records.releases(app.connection, "kerp-api")]
    assert states == ["good", "undone", "undone", "undone", "undone"]
    assert CANARY not in app.cluster.kubectl("get", "configmaps", "-n", app.namespace, "-o", "yaml")


def test_no_room_a_quota_that_is_full_and_a_smoke_test_that_fails(app: App) -> None:
    app.deploy(OLD)

    app.configure(cpu="1900m")
    run, said, took = _fails(app)
    assert "no node takes it" in said and took < EARLY
    _serves(app, OLD)

    app.configure(config={"DB_HOST": "new"})
    app.cluster.kubectl("-n", app.namespace, "create", "quota", "full", "--hard=pods=2")
    run, said, took = _fails(app)
    assert "exceeded quota" in said and took < EARLY
    _serves(app, OLD)
    app.cluster.kubectl("-n", app.namespace, "delete", "quota", "full")

    app.settings["smoke"] = ("/busybox", "false")
    run, said, took = _fails(app, kind=PlatformOpsError)
    assert said.startswith("The smoke test failed: /busybox false in kerp-api-")
    assert run.undone.startswith("It was undone")
    _serves(app, OLD)


def test_a_field_that_is_misspelt_changes_nothing(app: App) -> None:
    app.deploy(OLD)
    patch = app.folder / "overlay" / "patch.yaml"
    patch.write_text(patch.read_text().replace("terminationGracePeriodSeconds", "terminationGraceSeconds"))
    run, said, _ = _fails(app, NEW, Invalid)
    assert "terminationGraceSeconds" in said
    assert run.plan is None
    assert app.image() == OLD
