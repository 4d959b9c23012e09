"""Throw-away containers: each has a label that says whose it is, so that who comes next removes what a dead one left."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import docker
from docker.errors import DockerException

from engine.hosts.identity import has_ended, is_of_another_boot, is_of_this_boot, this_process

LABEL = "platform-ops.scratch"
_API_SECONDS = 60
_FOREIGN = timedelta(days=1)  # nobody can ask for an owner in another container


def ours() -> dict[str, str]:
    """The label of a container of this process."""
    return {LABEL: this_process()}


def engine_client(engine: str) -> docker.DockerClient:
    """What answers at `engine` ('': `$DOCKER_HOST`, else Docker's own socket); raises DockerException where nothing does."""
    if engine:
        return docker.DockerClient(base_url=engine, timeout=_API_SECONDS)
    return docker.DockerClient.from_env(timeout=_API_SECONDS)


def sweep_containers(client: docker.DockerClient) -> int:
    """Remove the scratch containers whose owner is certainly dead, or in another container for more than a day; how many."""
    removed = 0
    for container in client.containers.list(all=True, filters={"label": LABEL}):
        if _is_left(container):
            with suppress(DockerException, OSError):
                container.remove(force=True, v=True)
                removed += 1
    return removed


def _is_left(container: Any) -> bool:
    owner = container.labels[LABEL]
    if has_ended(owner) or is_of_another_boot(owner):  # the engine is this machine's, and so was the owner
        return True
    age = datetime.now(UTC) - datetime.fromisoformat(container.attrs["Created"])
    return not is_of_this_boot(owner) and age > _FOREIGN
