"""Which volumes a container engine has, and which containers mount one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from engine.compose.docker import Docker

PROJECT, COMPOSE_NAME, SERVICE = (
    "com.docker.compose.project",
    "com.docker.compose.volume",
    "com.docker.compose.service",
)
OURS = "platform-ops.volumes"
"""The label of what this program makes on an engine: the name of the source it is for."""
_NEVER = "0001-01-01T00:00:00Z"
_STARTS = ("--filter", "event=mount", "--filter", "event=create", "--filter", "event=start")


@dataclass(frozen=True)
class Volume:
    """A volume: `name` is the engine's, `key` the compose file's ('' where compose did not make it)."""

    name: str
    key: str = ""
    project: str = ""
    driver: str = "local"
    mountpoint: str = ""
    created: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def ours(self) -> bool:
        return OURS in self.labels

    @property
    def anonymous(self) -> bool:
        """Whether the engine named it itself."""
        return len(self.name) == 64 and not set(self.name) - set("0123456789abcdef")


@dataclass(frozen=True)
class Mounting:
    """A container that mounts a volume."""

    id: str
    name: str
    service: str
    project: str
    running: bool
    writes: bool
    removed_when_stopped: bool = False
    started: float = 0.0
    """When it was for the last time, in seconds since the epoch."""


def all_volumes(docker: Docker) -> tuple[Volume, ...]:
    """Every volume of the engine, by name.

    Raises:
        OperationFailed: it does not answer.
    """
    names = docker.call(("docker", "volume", "ls", "--quiet")).decode().split()
    return _inspected(docker, sorted(names)) if names else ()


def volume_called(docker: Docker, name: str) -> Volume | None:
    """The one of this name."""
    return next(iter(_inspected(docker, [name])), None)


def _inspected(docker: Docker, names: Sequence[str]) -> tuple[Volume, ...]:
    argv = ("docker", "volume", "inspect", *names)
    done = docker.tried(argv)
    if done.code != 0 and not (done.stdout.strip().startswith(b"[") and "o such volume" in done.stderr):
        raise docker.refused(argv, done)
    return tuple(_volume(each) for each in json.loads(done.stdout or b"[]"))


def _volume(found: dict[str, Any]) -> Volume:
    labels = found.get("Labels") or {}
    return Volume(
        name=found["Name"],
        key=labels.get(COMPOSE_NAME, ""),
        project=labels.get(PROJECT, ""),
        driver=found.get("Driver", ""),
        mountpoint=found.get("Mountpoint", ""),
        created=found.get("CreatedAt", ""),
        labels=labels,
        options=found.get("Options") or {},
    )


def mounting(docker: Docker, volume: Volume) -> tuple[Mounting, ...]:
    """The containers that mount it, running or not, by name: as a volume, or its folder by path.

    Raises:
        OperationFailed: the engine does not answer.
    """
    listed = docker.call(("docker", "ps", "--all", "--quiet", "--no-trunc"))
    return _mounting(docker, listed.decode().split(), volume)


def now(docker: Docker) -> tuple[int, str]:
    """What a host's clock says: seconds since the epoch, and the digits of their parts ('': busybox knows none)."""
    whole, _, part = docker.call(("date", "+%s.%N")).decode().strip().partition(".")
    return int(whole), part if part.isdigit() else ""


def came_and_went(docker: Docker, volume: str, since: int) -> list[str]:
    """Containers, but ours, that were given the volume to write to since then (seconds of the host), by name.

    An engine remembers its last 256 events; Podman tells none of these. So one that is not found may have been there."""
    whole, part = now(docker)
    until = f"{whole}.{part}" if part else str(whole + 1)  # of this second, too
    done = docker.tried(
        ("docker", "events", "--since", str(since), "--until", until, "--format", "{{json .}}", *_STARTS)
    )
    events = [json.loads(line) for line in done.stdout.splitlines()] if done.code == 0 else []
    about = {each["Actor"]["ID"]: each["Actor"]["Attributes"] for each in events if each.get("Type") == "container"}
    given = [
        each["Actor"]["Attributes"] for each in events if each.get("Type") == "volume" and each["Actor"]["ID"] == volume
    ]
    ids = dict.fromkeys(one.get("container", "") for one in given if one.get("read/write") == "true")
    others = [about.get(each, {}) for each in ids]
    return [one.get("name", "a container") for one in others if OURS not in one]


def of_project(docker: Docker, project: str) -> tuple[tuple[str, ...], ...]:
    """For each container of a compose project, the names of the volumes it mounts."""
    listed = docker.call(("docker", "ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={PROJECT}={project}"))
    found = _containers(docker, listed.decode().split())
    return tuple(tuple(each["Name"] for each in one.get("Mounts") or () if each.get("Name")) for one in found)


def _mounting(docker: Docker, ids: Sequence[str], volume: Volume) -> tuple[Mounting, ...]:
    found = []
    for one in _containers(docker, ids):
        mounts = [each for each in one.get("Mounts") or () if _is_of(each, volume)]
        labels = one["Config"].get("Labels") or {}
        if mounts and OURS not in labels:
            name = one["Name"].removeprefix("/")
            running = bool(one["State"].get("Running"))
            writes = any(each.get("RW") for each in mounts)
            service, project, once = (
                labels.get(SERVICE, ""),
                labels.get(PROJECT, ""),
                one["HostConfig"].get("AutoRemove"),
            )
            started = datetime.fromisoformat(one["State"].get("StartedAt") or _NEVER).timestamp()
            found.append(Mounting(one["Id"], name, service, project, running, writes, bool(once), started))
    return tuple(sorted(found, key=lambda each: each.name))


def _is_of(mount: Mapping[str, Any], volume: Volume) -> bool:
    source = mount.get("Source") or ""
    by_path = bool(volume.mountpoint) and (source == volume.mountpoint or source.startswith(f"{volume.mountpoint}/"))
    return mount.get("Name") == volume.name or by_path


def _containers(docker: Docker, ids: Sequence[str]) -> list[dict[str, Any]]:
    if not ids:
        return []
    argv = ("docker", "inspect", "--type", "container", *ids)
    done = docker.tried(argv)
    if done.code != 0 and "o such" not in done.stderr:
        raise docker.refused(argv, done)
    found: list[dict[str, Any]] = json.loads(done.stdout or b"[]")
    return found
