"""Hosts of the tests: an sshd, a Docker engine, a Podman; what they need is in .ci/parts."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from docker.models.containers import Container

from engine.hosts.opening import close_hosts
from engine.hosts.settings import HostSettings
from engine.streams.spool import temporary_base
from tests.engine.hosts.engines import DOCKER, Engine, idle_container, opened, podman_service, postgres_container
from tests.engine.hosts.host_folder import HostFolder, folder_here, word
from tests.engine.hosts.parts import missing, program
from tests.engine.hosts.sshd import Sshd, running_sshd

CRASHED = ("terminated by signal", "reinitializing")
"""What PostgreSQL logs when it takes a process of ours for a backend that crashed."""


CONTAINERS = [pytest.param(engine, marks=pytest.mark.installation) for engine in ("docker", "podman")]


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """No connection outlives its test."""
    yield
    close_hosts()


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("sshd") / "home") as server:
        yield server


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[Engine]:
    engine = opened("docker", DOCKER)
    yield engine
    engine.client.close()


@pytest.fixture(scope="session")
def podman_engine() -> Iterator[Engine]:
    if os.geteuid() != 0:
        missing("this user is not root, which Podman's network of the tests needs")
    # Not in pytest's folder: the path of a socket is short.
    folder = Path(tempfile.mkdtemp(prefix="po-podman-", dir=temporary_base()))
    try:
        with podman_service(folder) as url:
            engine = opened("podman", url)
            yield engine
            engine.client.close()
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    """What Podman does after an exec's end may come a while later, and mounts its storage again."""
    deadline = time.monotonic() + 40
    while folder.exists():
        _unmount(folder)
        shutil.rmtree(folder, ignore_errors=time.monotonic() < deadline)
        time.sleep(0.5)


def _unmount(folder: Path) -> None:
    """Podman keeps its storage mounted onto itself."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text(encoding="utf8").splitlines()]
    for mount in sorted((each for each in mounts if Path(each).is_relative_to(folder)), reverse=True):
        subprocess.run([program("umount"), mount], check=True)


@pytest.fixture(params=CONTAINERS)
def engine(request: pytest.FixtureRequest) -> Engine:
    found: Engine = request.getfixturevalue(f"{request.param}_engine")
    return found


@pytest.fixture(scope="session")
def docker_idle(docker_engine: Engine) -> Iterator[HostSettings]:
    with idle_container(docker_engine) as container:
        yield HostSettings(where=f"container:{container.name}", docker_host=docker_engine.url)


@pytest.fixture(scope="session")
def podman_idle(podman_engine: Engine) -> Iterator[HostSettings]:
    with idle_container(podman_engine) as container:
        yield HostSettings(where=f"container:{container.name}", docker_host=podman_engine.url)


@pytest.fixture(params=["local", "ssh", *CONTAINERS])
def host_folder(request: pytest.FixtureRequest, tmp_path: Path) -> HostFolder:
    """Each kind of host in turn."""
    if request.param == "local":
        return HostFolder(HostSettings(), folder_here(tmp_path))
    if request.param == "ssh":
        sshd: Sshd = request.getfixturevalue("sshd")
        return HostFolder(sshd.settings, folder_here(tmp_path))
    settings = request.getfixturevalue(f"{request.param}_idle")
    found = HostFolder(settings, f"/data/{word()}")
    found.sh('mkdir "$1"', found.folder)
    return found


Started = Callable[..., Container]


@pytest.fixture
def postgres_in() -> Iterator[Started]:
    """Start PostgreSQL in a container; in the end it must not have taken us for a crash."""
    with ExitStack() as stack:

        def start(engine: Engine, **options: Any) -> Container:
            container = stack.enter_context(postgres_container(engine, **options))
            stack.callback(_check, container)
            return container

        yield start


def _check(container: Container) -> None:
    log = container.logs().decode(errors="replace")
    assert not [line for line in log.splitlines() if any(sign in line for sign in CRASHED)]
