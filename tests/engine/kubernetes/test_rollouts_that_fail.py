"""Rollouts that cannot succeed: known early, undone by themselves, with the reason."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from engine.errors import OperationFailed, PlatformOpsError
from engine.kubernetes import records
from engine.kubernetes.errors import Invalid
from engine.kubernetes.waiting import RolloutFailed
from engine.operations.cluster_incident import Incident
from engine.operations.cluster_release import ClusterRun
from engine.progress import silent
from engine.steps import InShell
from tests.engine.kubernetes.application import CANARY, App, made
from tests.kubebox import JOB_IMAGE, NEW, OLD, new_namespace

pytestmark = [pytest.mark.installation, pytest.mark.xdist_group("kubernetes")]
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


def test_rollouts_that_cannot_succeed(app: App) -> None:
    """Each kind in a namespace of its own, beside the others: they wait most of the time."""
    scenes: tuple[Callable[[App], None], ...] = (
        *(_image_and_crash, _crash_after_ready, _never_ready, _no_room_and_smoke, _another_deployment),
    )
    with ThreadPoolExecutor(len(scenes)) as pool:
        for done in [pool.submit(_in_a_namespace, app, scene) for scene in scenes]:
            done.result()


def _in_a_namespace(app: App, scene: Callable[[App], None]) -> None:
    with new_namespace(app.cluster) as namespace:
        folder = app.folder / scene.__name__
        folder.mkdir()
        own = made(app.cluster, namespace, folder)
        own.deploy(OLD)
        scene(own)
        _serves(own, OLD)
        states = [each.state for each in records.releases(own.connection, "kerp-api")]
        assert states[0] == "good" and set(states[1:]) == {"undone"}
        assert CANARY not in own.cluster.kubectl("get", "configmaps", "-n", namespace, "-o", "yaml")


def _image_and_crash(app: App) -> None:
    run, message, took = _fails(app, "cccccccc-20260103000000")
    assert "cannot be pulled" in message and took < EARLY
    assert run.undone == f"It was undone: local.test/kerp/api:{OLD} runs again."
    assert any(reason == "Failed" for _, reason, _ in run.evidence.events)

    app.configure("crash")
    run, message, took = _fails(app, NEW)
    assert "crashes again and again" in message and took < EARLY
    assert "fatal: no such table" in run.evidence.lines
    assert any("exit code 3" in state for *_, state in run.evidence.states)
    data = app.cluster.get("-n", app.namespace, "configmap", "kerp-config")["data"]
    assert data["MODE"] == "well", "the configuration is as it was, too"


def _crash_after_ready(app: App) -> None:
    app.configure("crash-after-ready", ready_seconds=5)
    run, message, took = _fails(app, NEW)
    assert "crashes again and again" in message and took < EARLY
    assert "fatal: out of connections" in run.evidence.lines


def _never_ready(app: App) -> None:
    app.configure("never-ready")
    _, message, took = _fails(app, NEW)
    assert "readiness probe does not pass" in message and took < EARLY


def _no_room_and_smoke(app: App) -> None:
    app.configure(cpu="19")
    _, message, took = _fails(app)
    assert "no node takes it" in message and took < EARLY

    app.configure(config={"DB_HOST": "new"})
    app.cluster.kubectl("-n", app.namespace, "create", "quota", "full", "--hard=pods=2")
    _, message, took = _fails(app)
    assert "exceeded quota" in message and took < EARLY
    app.cluster.kubectl("-n", app.namespace, "delete", "quota", "full")

    app.settings["smoke"] = ("/busybox", "false")
    run, message, took = _fails(app, kind=PlatformOpsError)
    assert message.startswith("The smoke test failed: /busybox false in kerp-api-")
    assert run.undone.startswith("It was undone")


_WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  minReadySeconds: 5
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: %s
          command: [/busybox, "false"]
          resources: {requests: {cpu: 10m, memory: 8Mi}, limits: {cpu: 10m, memory: 8Mi}}
"""


def _another_deployment(app: App) -> None:
    """It is waited for as the application's own is: no release is good while the web is broken."""
    (app.folder / "overlay" / "web.yaml").write_text(_WEB % JOB_IMAGE)
    kustomization = app.folder / "overlay" / "kustomization.yaml"
    kustomization.write_text(kustomization.read_text().replace("- ../base", "- ../base\n- web.yaml"))
    run, message, took = _fails(app, NEW)
    assert message.startswith("Revision 1 of web cannot succeed: web-") and "crashes again and again" in message
    assert took < EARLY and run.undone.endswith("New, and not taken away: Deployment web.")


def test_a_restart_that_fails_is_undone_and_what_others_set_is_said(app: App) -> None:
    app.deploy(OLD)
    app.deploy(NEW)
    incident = Incident(app.connection, "a test")
    incident.restart(InShell(silent))
    back = app.run("rollback")
    back.only_plan(InShell(silent))
    assert back.plan is not None and back.plan.to_revision == 1, "pods that were only started anew are no other version"

    last = records.releases(app.connection, "kerp-api")[-1]
    records.write(app.connection, last.model_copy(update={"id": records.new_id(), "state": "begun"}), [])
    with pytest.raises(OperationFailed, match="The deploy of a test was cut off, and is not put right yet"):
        incident.restart(InShell(silent))
    incident.scale(2, InShell(silent))
    assert incident.remarks[-1].startswith("The deploy of a test was cut off")
    assert app.deploy("").recovered

    before = {each["metadata"]["name"] for each in app.pods()}
    app.cluster.kubectl("-n", app.namespace, "delete", "secret", "kerp-secrets")
    with pytest.raises(RolloutFailed, match=r"that it reads is not there.*It was undone: the old pods serve\.$"):
        incident.restart(InShell(silent))
    assert {each["metadata"]["name"] for each in app.pods()} == before
    assert any('secret "kerp-secrets" not found' in message for *_, message in incident.evidence.states)

    app.cluster.kubectl("-n", app.namespace, "set", "env", "deployment/kerp-api", "FOO=bar")
    back = app.run("rollback", to_revision=1)
    back.only_plan(InShell(silent))
    assert back.plan is not None
    assert "env[FOO].value" in back.plan.remarks[0] and "restartedAt" not in back.plan.remarks[0]


def test_a_field_that_is_misspelt_changes_nothing(app: App) -> None:
    app.deploy(OLD)
    patch = app.folder / "overlay" / "patch.yaml"
    patch.write_text(patch.read_text().replace("terminationGracePeriodSeconds", "terminationGraceSeconds"))
    run, message, _ = _fails(app, NEW, Invalid)
    assert "terminationGraceSeconds" in message
    assert run.plan is None
    assert app.image() == OLD
