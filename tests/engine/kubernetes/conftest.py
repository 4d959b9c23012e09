"""The application on the tests' cluster, in a namespace of the test's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.engine.kubernetes.application import App, made
from tests.kubebox import Cluster


@pytest.fixture
def app(cluster: Cluster, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    monkeypatch.setenv("PATH", f"{cluster.kubectl_path.parent}{os.pathsep}{os.environ['PATH']}")
    return made(cluster, namespace, tmp_path)
