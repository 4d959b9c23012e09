"""Deploys to a cluster: with nothing to change, one that crashes, and how long we wait beyond `kubectl rollout status`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.figures import Figure
from bench.timing import MeasureError, report, run
from engine.kubernetes.waiting import RolloutFailed
from engine.progress import silent
from engine.steps import InShell, Made, Step
from tests.engine.kubernetes.application import App, configuration, made
from tests.kubebox import NEW, OLD, Unavailable, a_cluster

_COMMAND = "python -m bench --only cluster"


def measure(laps: int) -> list[Figure]:
    """Raises MeasureError where no cluster can be had."""
    with _application() as app:
        return [_nothing(app, laps), _wait(app, laps), _crash(app, laps)]


@contextmanager
def _application() -> Iterator[App]:
    try:
        with a_cluster() as cluster, tempfile.TemporaryDirectory() as folder:
            os.environ["PATH"] = f"{cluster.kubectl_path.parent}{os.pathsep}{os.environ['PATH']}"
            cluster.kubectl("create", "namespace", "kerp-bench")
            try:
                yield made(cluster, "kerp-bench", Path(folder))
            finally:
                cluster.kubectl("delete", "namespace", "kerp-bench", "--wait=false")
    except Unavailable as error:
        raise MeasureError(str(error)) from None


def _nothing(app: App, laps: int) -> Figure:
    app.deploy(OLD)
    path = configuration(app)
    code = "import sys; from engine.cli import main; sys.exit(main())"
    argv = [sys.executable, "-c", code, "k8s", "deploy", OLD, "--config", str(path)]
    took = max(run(argv, os.environ) for _ in range(laps))
    return Figure("cluster: a deploy with nothing to change", took, "s", "<=", 3.0, 2.0, (_COMMAND,))


def _wait(app: App, laps: int) -> Figure:
    """Both wait for the same rollout; how much later we say that it is done."""
    beyond = []
    for lap in range(laps):
        version, ended = (NEW, OLD)[lap % 2], dict[str, float]()
        change = app.run(version=version)
        stock = threading.Thread(target=_stock, args=(app, version, ended))
        stock.start()
        steps = _Timed(silent, ended)
        change.carry_out(steps)
        stock.join()
        beyond.append(ended["ours"] - ended["kubectl"])
    report(f"cluster: beyond kubectl rollout status {[round(each, 2) for each in beyond]}")
    return Figure("cluster: our wait beyond kubectl rollout status", max(beyond), "s", "<=", 1.0, 0.5, (_COMMAND,))


@dataclass(frozen=True)
class _Timed(InShell):
    """Remembers when the wait was over."""

    ended: dict[str, float] = field(default_factory=dict)

    def run(self, step: Step[Made]) -> Made:
        made = super().run(step)
        if step.title == "wait for the rollout":
            self.ended["ours"] = time.monotonic()
        return made


def _stock(app: App, version: str, ended: dict[str, float]) -> None:
    while app.image() != version:
        time.sleep(0.02)
    argv = ["kubectl", "--kubeconfig", str(app.cluster.kubeconfig), "-n", app.namespace]
    subprocess.run([*argv, "rollout", "status", "deployment/kerp-api"], check=True, capture_output=True)
    ended["kubectl"] = time.monotonic()


def _crash(app: App, laps: int) -> Figure:
    """From the first restart until the old revision has all its pods, and no other is left."""
    took = []
    for _ in range(laps):
        app.configure("well")
        app.deploy(OLD)
        app.configure("crash-after-ready", ready_seconds=5)
        first: list[float] = []
        watcher = threading.Thread(target=_first_restart, args=(app, first))
        watcher.start()
        try:
            app.deploy(NEW)
            raise MeasureError("a release that crashes was accepted")
        except RolloutFailed:
            over = time.monotonic()
        watcher.join()
        took.append(over - first[0])
    report(f"cluster: from the first restart to the old revision {[round(each, 1) for each in took]}")
    return Figure(
        "cluster: from a crash loop's first restart to the old revision", max(took), "s", "<=", 30.0, 15.0, (_COMMAND,)
    )


def _first_restart(app: App, first: list[float]) -> None:
    while not first:
        for pod in app.pods():
            statuses = pod["status"].get("containerStatuses") or [{}]
            if statuses[0].get("restartCount") and pod["spec"]["containers"][0]["image"].endswith(NEW):
                first.append(time.monotonic())
                return
        time.sleep(0.1)
