"""A host as the configuration describes it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from engine.hosts.where import checked_where
from engine.secrets import SecretReference
from engine.settings_model import Frozen

Where = Annotated[str, AfterValidator(checked_where)]
"""`local`, `container:NAME`, `container:USER@NAME`, `ssh:USER@HOST` or `ssh:USER@HOST:PORT`."""


class HostSettings(Frozen):
    """Where programs run, and how one gets there."""

    where: Where = "local"
    """Where programs run: local (the worker's host), container:NAME, or ssh:USER@HOST."""
    ssh_key: SecretReference | None = None
    """Where the SSH private key is. Without one the SSH agent's keys are tried."""
    ssh_known_hosts: str = ""
    """A file; empty: the usual ones. Unknown host keys are refused."""
    docker_host: str = ""
    """The engine's socket, such as unix:///run/podman/podman.sock. Empty: DOCKER_HOST."""
