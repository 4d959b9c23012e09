"""Containers as `docker inspect` tells of them. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

PROJECT, SERVICE = "com.docker.compose.project", "com.docker.compose.service"
CONFIG_HASH, ONE_OFF = "com.docker.compose.config-hash", "com.docker.compose.oneoff"


@dataclass(frozen=True, slots=True)
class Container:
    """One container of a project. `health` is docker's word, empty where there is no health check."""

    id: str
    name: str
    service: str
    image_id: str
    image: str
    config_hash: str
    running: bool
    health: str
    address: str
    aliases: tuple[str, ...]
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
    said = [str(each.get("Output", "")).strip() for each in health.get("Log") or []]
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
        aliases=tuple(endpoint.get("Aliases") or ()),
        started=_moment(state.get("StartedAt", "")),
        restarts=int(found.get("RestartCount", 0)),
        exit_code=int(state.get("ExitCode", 0)),
        health_output=said[-1][-300:] if said else "",
    )


def _moment(text: str) -> datetime | None:
    """Docker's time, which has nanoseconds; None where it never started."""
    if not text or text.startswith("0001"):
        return None
    return datetime.fromisoformat(text[:19] + "+00:00")
