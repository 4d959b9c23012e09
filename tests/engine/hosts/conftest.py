"""Hosts of the tests: an sshd, a Docker engine, a Podman; what they need is in .ci/parts."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from docker.models.containers import Container

from engine.hosts.local import temporary_base
from engine.hosts.opening import close_hosts
from tests.engine.hosts.engines import DOCKER, Engine, opened, podman_service, postgres_container
from tests.engine.hosts.parts import missing, program
from tests.engine.hosts.sshd import Sshd, running_sshd

CRASHED = ("terminated by signal", "reinitializing")
"""What PostgreSQL logs when it takes a process of ours for a backend that crashed."""


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
        _unmount(folder)
        shutil.rmtree(folder)


def _unmount(folder: Path) -> None:
    """Podman keeps its storage mounted onto itself."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text(encoding="utf8").splitlines()]
    for mount in sorted((each for each in mounts if Path(each).is_relative_to(folder)), reverse=True):
        subprocess.run([program("umount"), mount], check=True)


@pytest.fixture(params=["docker", "podman"])
def engine(request: pytest.FixtureRequest) -> Engine:
    found: Engine = request.getfixturevalue(f"{request.param}_engine")
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
