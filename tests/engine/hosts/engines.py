"""Container engines of the tests, and PostgreSQL servers in containers."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, NotFound
from docker.models.containers import Container

from engine.hosts.processes import ProcessIdentity
from tests.engine.hosts.image import imported
from tests.engine.hosts.parts import missing, program
from tests.quick import starting

DOCKER = "unix:///var/run/docker.sock"
LABEL = "platform-ops-test"
# What a container of a machine like CI's may have; see podman-run(1).
_PODMAN = """
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
# How long an exec can be inspected after its end, with a process waiting for it; else 300 seconds.
exit_command_delay = 15
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
"""
_START = """
set -e
initdb -D /data/d -U postgres -E UTF8 --locale=C.UTF-8 --no-sync --auth={auth} --pwfile=/tmp/pw >/dev/null
echo 'host all all all {auth}' >>/data/d/pg_hba.conf
exec postgres -D /data/d -c fsync=off -c unix_socket_directories=/var/run/postgresql -c listen_addresses='{listen}'
"""


@dataclass(frozen=True)
class Engine:
    """A Docker or Podman engine at `url`, with the image there."""

    name: str
    url: str
    client: docker.DockerClient
    image: str


def opened(name: str, url: str) -> Engine:
    """The engine that answers at `url`; what a dead test run left in it is removed first."""
    starting("containers")
    try:
        client = docker.DockerClient(base_url=url, version="auto", timeout=60)
    except (DockerException, requests.RequestException) as error:
        missing(f"no container engine answers at {url}: {error}")
    for container in client.containers.list(all=True, filters={"label": LABEL}):
        pid, _, started = container.labels[LABEL].partition("-")
        if not ProcessIdentity(int(pid), int(started)).alive():
            container.remove(force=True, v=True)
    return Engine(name, url, client, imported(client))


@contextmanager
def podman_service(folder: Path) -> Iterator[str]:
    """The address of a Podman of the tests' own, with storage in `folder`."""
    starting("Podman")
    config, socket = folder / "containers.conf", folder / "podman.sock"
    config.write_text(_PODMAN, encoding="utf8")
    places = ["--root", str(folder / "root"), "--runroot", str(folder / "run")]
    # Podman leaves what an image was loaded from in TMPDIR.
    environment = {**os.environ, "CONTAINERS_CONF": str(config), "TMPDIR": str(folder)}
    argv = [program("podman"), *places, "system", "service", "--time=0", f"unix://{socket}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 20
        while not socket.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        if not socket.exists():
            missing(f"podman does not start here: {(folder / 'log').read_text(encoding='utf8')[-300:]}")
        yield f"unix://{socket}"
    finally:
        process.terminate()
        process.wait()


@contextmanager
def postgres_container(
    engine: Engine,
    *,
    password: str,
    auth: str = "trust",
    listen: str = "",
    network: str = "none",
    **more: Any,
) -> Iterator[Container]:
    """A running PostgreSQL in a container of its own. `listen` '' means its socket alone."""
    me = ProcessIdentity.current()
    script = 'echo "$FIRST" >/tmp/pw; unset FIRST; ' + _START.format(auth=auth, listen=listen)
    container = engine.client.containers.run(
        engine.image,
        ["sh", "-c", script],
        name=f"po-test-{secrets.token_hex(4)}",
        labels={LABEL: f"{me.pid}-{me.started}"},
        network_mode=network,
        tmpfs={"/data": "mode=1777"},
        environment={"FIRST": password},
        detach=True,
        **more,
    )
    try:
        _await(container)
        yield container
    finally:
        with suppress(NotFound):
            container.remove(force=True, v=True)


@contextmanager
def idle_container(engine: Engine) -> Iterator[Container]:
    """A running container that does nothing."""
    me = ProcessIdentity.current()
    container = engine.client.containers.run(
        engine.image,
        ["sleep", "1000000"],
        name=f"po-test-{secrets.token_hex(4)}",
        labels={LABEL: f"{me.pid}-{me.started}"},
        network_mode="none",
        tmpfs={"/data": "mode=1777", "/small": "mode=1777,size=1m"},
        detach=True,
    )
    try:
        yield container
    finally:
        with suppress(NotFound):
            container.remove(force=True, v=True)


def _await(container: Container) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        container.reload()
        assert container.status == "running", container.logs().decode(errors="replace")[-2000:]
        with suppress(APIError):  # it may have ended meanwhile
            if container.exec_run(["pg_isready", "-q", "-h", "/var/run/postgresql"]).exit_code == 0:
                return
        time.sleep(0.1)
    raise AssertionError(container.logs().decode(errors="replace")[-2000:])
