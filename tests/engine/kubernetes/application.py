"""K-ERP's own manifests on the tests' cluster, with a stand-in for the private application: busybox, which is well or
ill as `MODE` of its ConfigMap says. Its probes are run in the container: pods there have no network but their own."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.config.clusters import ClusterSettings
from engine.kubernetes.connection import Connection
from engine.kubernetes.objects import DEPLOYMENTS, images_of
from engine.operations.cluster_release import ClusterRun
from engine.progress import silent
from engine.repository.repository import Repository
from engine.sources.base import Source
from engine.steps import InShell, Step
from tests.kubebox import JOB_IMAGE, REPOSITORY, ROOT, Cluster

CANARY = "canary-7f3a9c"
"""The value of every secret: it may be in no plan, record or sentence."""
_SCRIPT = """
trap 'exit 0' TERM
/busybox echo started in mode $MODE
case $MODE in
  well) /busybox touch /tmp/ready ;;
  crash) /busybox echo fatal: no such table; exit 3 ;;
  crash-after-ready) /busybox touch /tmp/ready; /busybox sleep 2; /busybox echo fatal: out of connections; exit 4 ;;
  never-ready) ;;
esac
while :; do /busybox echo tick; /busybox sleep 1; done
"""
_SMOKE = ("/busybox", "test", "-f", "/tmp/ready")


@dataclass(frozen=True, slots=True)
class CutOff(InShell):
    """As a run that is killed before a step: nothing of it is done, nothing is put back or written down."""

    before: str

    def run(self, step: Step[Any]) -> Any:
        if step.title == self.before:
            raise SystemExit
        return InShell.run(self, step)


@dataclass
class App:
    """An overlay of its own, written again by `configure`."""

    cluster: Cluster
    namespace: str
    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def connection(self) -> Connection:
        given: dict[str, Any] = {
            "namespace": self.namespace,
            "manifests": str(self.folder / "overlay"),
            "kubeconfig": str(self.cluster.kubeconfig),
            "smoke": _SMOKE,
            "unschedulable_seconds": 4,
            "rollout_seconds": 90,
        }
        return Connection("box", ClusterSettings(**(given | self.settings)))

    def configure(
        self,
        mode: str = "well",
        *,
        cpu: str = "20m",
        replicas: int = 2,
        ready_seconds: int = 1,
        config: dict[str, str] | None = None,
    ) -> None:
        overlay = self.folder / "overlay"
        overlay.mkdir(exist_ok=True)
        if not (self.folder / "base").exists():
            shutil.copytree(ROOT / "stack" / "k8s" / "base", self.folder / "base")
        (overlay / "kustomization.yaml").write_text(yaml.safe_dump(_kustomization(self.namespace, mode, config or {})))
        (overlay / "patch.yaml").write_text(yaml.safe_dump_all(_patches(cpu, replicas, ready_seconds)))

    def run(self, operation: str = "deploy", **wanted: Any) -> ClusterRun:
        """Not carried out yet."""
        return ClusterRun(self.connection, operation, "a test", lambda plan: "", _no_store, _no_source, **wanted)

    def deploy(self, version: str) -> ClusterRun:
        run = self.run(version=version)
        run.carry_out(InShell(silent))
        return run

    def image(self) -> str:
        return images_of(self.connection.get(DEPLOYMENTS, "kerp-api"))["kerp-api"].removeprefix(f"{REPOSITORY}:")

    def pods(self) -> list[dict[str, Any]]:
        return [
            each
            for each in self.cluster.get("-n", self.namespace, "pods", "-l", "app=kerp-api")["items"]
            if not each["metadata"].get("deletionTimestamp")
        ]


def _no_store(name: str) -> Repository:
    raise AssertionError(f"nothing is stored here, and {name} was asked for")


def _no_source(name: str) -> Source:
    raise AssertionError(f"nothing is backed up here, and {name} was asked for")


def made(cluster: Cluster, namespace: str, folder: Path, **settings: Any) -> App:
    """With its Secret, which the External Secrets operator would make."""
    app = App(cluster, namespace, folder, settings)
    app.configure()
    values = [f"--from-literal={key}={CANARY}" for key in ("DB_PASSWORD", "JWT_SECRET")]
    cluster.kubectl("-n", namespace, "create", "secret", "generic", "kerp-secrets", *values)
    return app


def configuration(app: App) -> Path:
    """Its platform-ops.toml."""
    settings = app.connection.settings
    path = app.folder / "platform-ops.toml"
    path.write_text(
        f"""
[stores.none]
kind = "folder"
path = "{app.folder}"
[clusters.box]
namespace = "{settings.namespace}"
manifests = "{settings.manifests}"
kubeconfig = "{settings.kubeconfig}"
smoke = {json.dumps(list(settings.smoke))}
environment = "{settings.environment}"
rollout_seconds = 90
"""
    )
    return path


@pytest.fixture
def app(cluster: Cluster, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    """In a namespace of the test's own."""
    monkeypatch.setenv("PATH", f"{cluster.kubectl_path.parent}{os.pathsep}{os.environ['PATH']}")
    return made(cluster, namespace, tmp_path)


def _kustomization(namespace: str, mode: str, config: dict[str, str]) -> dict[str, Any]:
    data = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "kerp-config"},
        "data": {"MODE": mode} | config,
    }
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": namespace,
        "resources": ["../base"],
        "patches": [{"path": "patch.yaml"}, {"patch": yaml.safe_dump(data)}],
        "images": [
            {"name": "kerp/api", "newName": REPOSITORY},
            *({"name": f"kerp/{each}", "newName": JOB_IMAGE[:-2], "newTag": "1"} for each in ("worker", "maintenance")),
        ],
    }


def _patches(cpu: str, replicas: int, ready_seconds: int) -> list[dict[str, Any]]:
    container = {
        "name": "kerp-api",
        "command": ["/busybox", "sh", "-c", _SCRIPT],
        "resources": {
            "requests": {"cpu": cpu, "memory": "16Mi"},
            "limits": {"cpu": "2" if cpu.endswith("m") else cpu, "memory": "64Mi"},
        },
        "livenessProbe": None,
        "lifecycle": None,
        "readinessProbe": {
            "httpGet": None,
            "exec": {"command": list(_SMOKE)},
            "initialDelaySeconds": 0,
            "periodSeconds": 1,
            "failureThreshold": 1,
        },
    }
    pod = {"terminationGracePeriodSeconds": 1, "containers": [container]}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "kerp-api"},
            "spec": {"replicas": replicas, "minReadySeconds": ready_seconds, "template": {"spec": pod}},
        },
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "kerp-api"},
            "spec": {"minReplicas": replicas, "maxReplicas": 4},
        },
    ]
