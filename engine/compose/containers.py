"""Containers as `docker inspect` tells of them. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

PROJECT, SERVICE = "com.docker.compose.project", "com.docker.compose.service"
FOLDER = "com.docker.compose.project.working_dir"
CONFIG_HASH, ONE_OFF = "com.docker.compose.config-hash", "com.docker.compose.oneoff"


@dataclass(frozen=True, slots=True)
class Container:
    """One container of a project. `health` is docker's word, empty where there is no health check; `folder` is the project's
    own, as compose was told it."""

    id: str
    name: str
    service: str
    image_id: str
    image: str
    config_hash: str
    running: bool
    health: str
    address: str
    folder: str
    started: datetime | None
    restarts: int
    exit_code: int
    health_output: str

    @property
    def short(self) -> str:
        return self.id[:12]


def parse_containers(document: bytes, network: str = "") -> tuple[Container, ...]:
    """The containers of `docker inspect`'s JSON; addresses are those in `network` (by default the first one)."""
    return tuple(_container(each, network) for each in json.loads(document))


def _container(found: dict[str, Any], network: str) -> Container:
    labels, state = found["Config"].get("Labels") or {}, found["State"]
    networks = (found.get("NetworkSettings") or {}).get("Networks") or {}
    endpoint: dict[str, Any] = networks.get(network) or next(iter(networks.values()), {})
    health = state.get("Health") or {}
    outputs = [str(each.get("Output", "")).strip() for each in health.get("Log") or []]
    return Container(
        id=found["Id"],
        name=found["Name"].removeprefix("/"),
        service=labels.get(SERVICE, ""),
        image_id=found["Image"],
        image=found["Config"]["Image"],
        config_hash=labels.get(CONFIG_HASH, ""),
        running=bool(state.get("Running")) and not state.get("Restarting"),
        health=health.get("Status", ""),
        address=endpoint.get("IPAddress") or "",
        folder=labels.get(FOLDER, ""),
        started=moment(started) if (started := state.get("StartedAt", "")) and not started.startswith("0001") else None,
        restarts=int(found.get("RestartCount", 0)),
        exit_code=int(state.get("ExitCode", 0)),
        health_output=outputs[-1] if outputs else "",
    )


def moment(text: str) -> datetime:
    """A time as docker writes it, with nanoseconds."""
    return datetime.fromisoformat(text)
