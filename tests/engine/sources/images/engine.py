"""A second Docker engine and a second Podman, both empty, for what is loaded."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.compose.docker import Docker
from engine.hosts.machine import Local
from engine.hosts.settings import HostSettings
from tests.engine.hosts.away import eventually
from tests.engine.hosts.engines import podman_service
from tests.engine.hosts.parts import program


@contextmanager
def short_folder() -> Iterator[Path]:
    """Paths of sockets have to be short."""
    with tempfile.TemporaryDirectory(prefix="po-", dir="/tmp") as folder:
        yield Path(folder)


@contextmanager
def second_engine() -> Iterator[Docker]:
    """In a network of its own: a dockerd without a bridge removes docker0, which is the machine's own engine's."""
    with short_folder() as folder:
        socket = f"unix://{folder}/docker.sock"
        argv = [program("unshare"), "--net", program("dockerd")]
        argv += [f"--host={socket}", f"--data-root={folder}/data", f"--exec-root={folder}/exec"]
        argv += [f"--pidfile={folder}/pid", "--bridge=none", "--iptables=false", "--ip-masq=false"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([*argv, "--storage-driver=vfs"], stdout=log, stderr=log)
        docker = Docker(Local(), socket)
        try:
            eventually(
                lambda: process.poll() is not None or docker.tried(("docker", "version")).code == 0, "dockerd answers"
            )
            assert process.poll() is None, (folder / "log").read_text()[-2000:]
            yield docker
        finally:
            process.terminate()
            process.wait()


def loaded_by_podman(archive: Path) -> set[str]:
    """The ids of the images that a Podman of its own makes of an archive."""
    with short_folder() as folder:
        podman = [program("podman"), f"--root={folder}/root", f"--runroot={folder}/run", "--storage-driver=vfs"]
        done = subprocess.run([*podman, "load", f"--input={archive}"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        listed = subprocess.run(
            [*podman, "images", "--no-trunc", "--quiet"], capture_output=True, text=True, check=True
        )
        return {line.removeprefix("sha256:") for line in listed.stdout.split()}


@contextmanager
def second_podman() -> Iterator[HostSettings]:
    """A Podman of its own, which Docker's program drives."""
    with short_folder() as folder:
        try:
            with podman_service(folder) as url:
                yield HostSettings(docker_host=url)
        finally:
            places = [f"--root={folder}/root", f"--runroot={folder}/run"]
            subprocess.run([program("podman"), *places, "rmi", "--all", "--force"], capture_output=True)
            subprocess.run(["umount", f"{folder}/root/overlay"], capture_output=True)
