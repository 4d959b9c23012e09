"""A Kubernetes for the tests: one they are pointed to, else the one of ../shared/kubebox, else they are skipped.

`$PLATFORM_OPS_TEST_KUBECONFIG` points to a cluster that is there; it must have the images of `images()` or be a kubebox
(its containerd.sock beside the kubeconfig). `$PLATFORM_OPS_KUBEBOX` is the folder with up.sh where it is elsewhere.
All tests that use it belong to the xdist group `kubernetes`, so that one session has one cluster.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.streams.spool import temporary_base
from tests.quick import starting

ROOT = Path(__file__).parent.parent
POINTED_TO = "PLATFORM_OPS_TEST_KUBECONFIG"
REPOSITORY = "local.test/kerp/api"
OLD, NEW = "aaaaaaaa-20260101000000", "bbbbbbbb-20260102000000"
"""Two versions of the stand-in for the private application: busybox, with a shell to misbehave in."""
JOB_IMAGE = "local.test/kerp/worker:1"
_NEEDED = ("containerd", "runc", "ctr", "openssl", "bc", "curl", "ip", "nsenter", "xz", "go", "gcc")
_numbers = count(1)


@dataclass(frozen=True)
class Cluster:
    """`folder` is a kubebox's own; None where the tests were pointed to another cluster."""

    kubeconfig: Path
    kubectl_path: Path
    folder: Path | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def tried(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        argv = [str(self.kubectl_path), "--kubeconfig", str(self.kubeconfig), *arguments]
        return subprocess.run(argv, input=given, capture_output=True, text=True, timeout=180)

    def kubectl(self, *arguments: str, given: str = "") -> str:
        done = self.tried(*arguments, given=given)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def get(self, *arguments: str) -> Any:
        return yaml.safe_load(self.kubectl("get", *arguments, "-o", "yaml"))

    def pid(self, name: str) -> int:
        """Of one of the programs of a kubebox."""
        assert self.folder is not None
        lines = [line.split() for line in (self.folder / "pids").read_text().splitlines()]
        return next(int(pid) for pid, each in lines if each == name)


class Unavailable(Exception):
    """No cluster can be had here, and why."""


@contextmanager
def a_cluster() -> Iterator[Cluster]:
    """The one that is pointed to, else a kubebox that is ended with the block.

    Raises:
        Unavailable: there is neither.
    """
    if pointed := os.environ.get(POINTED_TO):
        yield _opened(Path(pointed))
        return
    home = _home()
    if lacking := _lacking(home):
        raise Unavailable(f"no Kubernetes: {lacking} (or point ${POINTED_TO} to a cluster)")
    with _alone(), _running(home) as opened:
        yield opened


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """One for all tests of the session; it is ended with it."""
    starting("Kubernetes")
    with ExitStack() as stack:
        try:
            found = stack.enter_context(a_cluster())
        except Unavailable as error:
            if os.environ.get("CI") == "true":
                pytest.fail(str(error))
            pytest.skip(str(error))
        yield found


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of this test alone."""
    with new_namespace(cluster) as name:
        yield name


@contextmanager
def new_namespace(cluster: Cluster) -> Iterator[str]:
    """One that goes with the block."""
    name = f"kerp-t{os.getpid()}-{next(_numbers)}"
    cluster.kubectl("create", "namespace", name)
    try:
        yield name
    finally:
        cluster.tried("delete", "namespace", name, "--wait=false")


def _home() -> Path:
    return Path(os.environ.get("PLATFORM_OPS_KUBEBOX") or ROOT.parent / "shared" / "kubebox")


def _lacking(home: Path) -> str:
    if not (home / "up.sh").exists():
        return f"{home} is not there"
    if os.geteuid() != 0:
        return "kubebox needs root"
    gone = [name for name in _NEEDED if shutil.which(name) is None]
    return f"kubebox needs {gone[0]}" if gone else ""


@contextmanager
def _alone() -> Iterator[None]:
    """Its ports are fixed: of two sessions on one machine the second waits."""
    with (temporary_base() / "po-kubebox.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _running(home: Path) -> Iterator[Cluster]:
    folder = temporary_base() / "po-kubebox"
    if (folder / "pids").exists():  # a session that was killed left it
        _end(home, folder)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        up = subprocess.run([str(home / "up.sh"), str(folder)], capture_output=True, text=True, timeout=600)
        assert up.returncode == 0, f"kubebox did not start: {up.stdout[-1000:]}{up.stderr[-1000:]}"
        yield _opened(folder / "kubeconfig", home)
    finally:
        _end(home, folder)
        shutil.rmtree(folder, ignore_errors=True)


def _end(home: Path, folder: Path) -> None:
    with suppress(subprocess.TimeoutExpired):
        subprocess.run([str(home / "down.sh"), str(folder)], capture_output=True, timeout=60)


def _opened(kubeconfig: Path, home: Path | None = None) -> Cluster:
    box = kubeconfig.parent / "box"
    if not box.exists():
        found = shutil.which("kubectl")
        assert found, "kubectl is needed beside a cluster of your own"
        return Cluster(kubeconfig, Path(found))
    program = kubeconfig.parent / "bin" / "kubectl"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec "{box.read_text().strip()}" kubectl "$@"\n')
    program.chmod(0o755)
    _import_images(kubeconfig.parent, (home or _home()) / "images" / "mkimage.py")
    return Cluster(kubeconfig, program, kubeconfig.parent)


def images() -> tuple[str, ...]:
    return f"{REPOSITORY}:{OLD}", f"{REPOSITORY}:{NEW}", JOB_IMAGE


def _import_images(folder: Path, mkimage: Path) -> None:
    """busybox (static, of Debian) under the names of the application's images."""
    for number, image in enumerate(images()):
        archive = folder / f"image-{number}.tar"
        subprocess.run([sys.executable, str(mkimage), str(archive), image, "/bin/busybox"], check=True)
        socket = str(folder / "containerd.sock")
        subprocess.run(["ctr", "-a", socket, "-n", "k8s.io", "images", "import", str(archive)], check=True)
        archive.unlink()
