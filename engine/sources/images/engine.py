"""What the engine that has the images can do: how it keeps them, and the room it has for saving one."""

from __future__ import annotations

import json

from engine.compose.docker import QUICK_SECONDS, Docker
from engine.errors import OperationFailed
from engine.progress import readable_bytes
from engine.sources.images.kinds import Image

_RESERVE = 1 << 30
"""Bytes that stay free for everybody else: a database may be on the same disk."""


def why_not(docker: Docker) -> str:
    """Why its images cannot be stored; '' where they can. Docker 29 and newer begin with containerd's store, where an
    image's id is not that of its configuration (https://docs.docker.com/engine/storage/containerd)."""
    message = json.loads(docker.call(("docker", "info", "--format", "{{json .DriverStatus}}"))) or ()
    if any("io.containerd.snapshotter" in str(value) for _, value in message):
        return (
            f"the engine{docker.host.note} keeps images in containerd's store, which is not supported: set "
            '"features": {"containerd-snapshotter": false} in its daemon.json'
        )
    return ""


def require_room(docker: Docker, image: Image) -> None:
    """Docker writes an image whole to its own disk before the first byte of it comes.

    Raises:
        OperationFailed: there is not enough room.
    """
    if docker.socket and not docker.socket.startswith("unix:"):
        return  # its disk is another machine's
    size = int(docker.call(("docker", "image", "inspect", "--format", "{{.Size}}", image.id)))
    root = docker.call(("docker", "info", "--format", "{{.DockerRootDir}}")).decode().strip()
    shown = docker.host.run(("df", "-Pk", root), env={}, timeout=QUICK_SECONDS)
    if shown.code != 0:
        return  # a folder of the engine's alone
    free = int(shown.stdout.decode().splitlines()[-1].split()[3]) << 10
    if free < size + _RESERVE:
        raise OperationFailed(
            f"The engine{docker.host.note} writes an image to its own disk while it saves it: {image.tag} takes "
            f"{readable_bytes(size)}, {root} has {readable_bytes(free)} free, and {readable_bytes(_RESERVE)} of it stay for others; "
            "make room there (docker system df), then archive again."
        )
