"""The engine of a container, through its socket: the container is found, a program is started in it."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, NotFound
from docker.models.containers import Container as Found

from engine.errors import ConfigurationError, PlatformOpsError, TransientFailure
from engine.hosts.exec_channel import ExecStream
from engine.hosts.where import InContainer

_API_SECONDS = 60
_UNIX = "unix://"
_USUAL = "unix:///var/run/docker.sock"


@dataclass
class ContainerEngine:
    """What answers at `engine` ('': `$DOCKER_HOST`, else Docker's own socket)."""

    engine: str = ""
    _client: docker.DockerClient | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def is_far(self) -> bool:
        return not self._address().startswith(_UNIX)

    def found(self, where: InContainer) -> Found:
        """The container, which runs.

        Raises:
            ConfigurationError: there is none of this name.
            TransientFailure: the engine does not answer, or the container is stopped.
        """
        try:
            found = self._opened(where).containers.get(where.name)
        except NotFound:
            raise ConfigurationError(
                f"There is no container {where.name!r} at {self._address()}; running are: {self._running(where)}."
            ) from None
        except (DockerException, requests.RequestException, OSError) as error:
            raise self._failed(where, error) from None
        if found.status != "running":
            raise TransientFailure(f"The {where} is {found.status}; start it and try again.")
        return found

    def start(self, where: InContainer, argv: Sequence[str]) -> ExecStream:
        """Start a program in the container; raises as `found`."""
        found = self.found(where)
        try:
            api: Any = self._opened(where).api
            made = api.exec_create(found.id, list(argv), stdin=True, user=where.user)
            # Not exec_start(socket=True): it lets go of the response, whose end closes the socket.
            response = api.post(
                f"{api.base_url}/v{api.api_version}/exec/{made['Id']}/start",
                json={"Tty": False, "Detach": False},
                headers={"Connection": "Upgrade", "Upgrade": "tcp"},
                stream=True,
                timeout=_API_SECONDS,
            )
            opened = api._get_raw_response_socket(response)
        except (APIError, DockerException, requests.RequestException, OSError) as error:
            raise self._failed(where, error) from None
        return ExecStream(response, opened, lambda: api.exec_inspect(made["Id"]))

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _running(self, where: InContainer) -> str:
        names = sorted(str(each.name) for each in self._opened(where).containers.list())
        return ", ".join(names[:20]) or "none"

    def _opened(self, where: InContainer) -> docker.DockerClient:
        with self._lock:
            if self._client is None:
                try:
                    _check_socket(self._address())
                    given: dict[str, Any] = {"base_url": self.engine} if self.engine else {}
                    make = docker.DockerClient if self.engine else docker.from_env
                    self._client = make(version="auto", timeout=_API_SECONDS, **given)
                except (DockerException, requests.RequestException, OSError) as error:
                    raise self._failed(where, error) from None
            return self._client

    def _address(self) -> str:
        return self.engine or os.environ.get("DOCKER_HOST") or _USUAL

    def _failed(self, where: InContainer, error: Exception) -> PlatformOpsError:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        reason = " ".join(str(getattr(error, "explanation", None) or reason).split())[:300]
        if isinstance(error, APIError):
            return TransientFailure(f"The engine of {where} answered: {reason}; look at the container and try again.")
        return TransientFailure(
            f"Cannot reach the container engine at {self._address()}: {reason}; "
            "check that it runs, that this user may use it, and docker_host."
        )


def _check_socket(address: str) -> None:
    """The SDK leaves its socket open when it cannot connect, and words the reason badly."""
    if address.startswith(_UNIX):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_API_SECONDS)
            probe.connect(address.removeprefix(_UNIX))
