"""A container of Docker or Podman, through the engine's socket (Podman answers the same API).

The programs run inside it, so they are the server's own image's. The database is reached by its
address on the container's network or its socket; where that is not possible (another machine's
engine, a server that listens to its own loopback alone, or one that trusts only that), by a relay in it.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, NotFound
from docker.models.containers import Container as Found

from engine.errors import ConfigurationError, OperationFailed, PlatformOpsError, TransientFailure
from engine.hosts import remote
from engine.hosts.base import Done, Program, Route
from engine.hosts.container_files import addresses, answers, is_here, socket_folder
from engine.hosts.exec_channel import ExecStream
from engine.hosts.forward import Duplex, Forward
from engine.hosts.shell import NO_RELAY, relay_argv, sweep_argv
from engine.hosts.ssh import forwarded
from engine.hosts.where import ContainerPlace

_API_SECONDS = 60
_SWEEP_SECONDS = 60.0
_UNIX = "unix://"
_USUAL = "unix:///var/run/docker.sock"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass
class Container:
    """`engine` is the address of the Docker or Podman socket ('': `$DOCKER_HOST`, else Docker's own)."""

    place: ContainerPlace
    engine: str = ""
    _client: docker.DockerClient | None = None
    _forwards: dict[tuple[str, int], Forward] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __str__(self) -> str:
        return f"container {self.place.name}"

    @property
    def note(self) -> str:
        return f" in {self}"

    @property
    def crosses_network(self) -> bool:
        return not self._address().startswith(_UNIX)

    @property
    def image(self) -> str | None:
        return str(self._found().attrs["Image"])

    def run(self, argv: Sequence[str], *, env: Mapping[str, str], timeout: float) -> Done:
        what = f"{Path(argv[0]).name} in {self}"
        return remote.finish(remote.start(self, argv, env), what, timeout)

    def stream(self, argv: Sequence[str], *, env: Mapping[str, str]) -> Program:
        return remote.start(self, argv, env)

    def route(self, host: str, port: int, *, trusted: bool) -> Route:
        found = self._found()
        pid = int(found.attrs["State"]["Pid"])
        if is_here(found.id or "", pid):
            if host.startswith("/") and (folder := socket_folder(pid, host, port)):
                return Route({"host": str(folder), "port": str(port)})
            if host in _LOOPBACK and not trusted:
                for address, open_port in addresses(found.attrs, port):
                    if answers(address, open_port):
                        return Route({"host": host, "hostaddr": address, "port": str(open_port)})
        with self._lock:
            if (host, port) not in self._forwards:
                self._forwards[host, port] = Forward(lambda: self._relay(host, port))
            return forwarded(self._forwards[host, port], host)

    def end_leftovers(self, marks: Mapping[str, str]) -> int:
        done = self.run(sweep_argv(marks), env={}, timeout=_SWEEP_SECONDS)
        if done.code:
            raise OperationFailed(
                f"What a dead run left in {self} cannot be looked for: {done.stderr[-200:]}"
            )
        return len(done.stdout.split())

    def launch(self, argv: Sequence[str]) -> ExecStream:
        return self._exec(argv)

    def close(self) -> None:
        with self._lock:
            for forward in self._forwards.values():
                forward.close()
            self._forwards.clear()
            if self._client is not None:
                self._client.close()
                self._client = None

    def _exec(self, argv: Sequence[str]) -> ExecStream:
        found = self._found()
        try:
            api: Any = self._opened().api
            made = api.exec_create(found.id, list(argv), stdin=True, user=self.place.user)
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
            raise self._failed(error) from None
        return ExecStream(response, opened, lambda: api.exec_inspect(made["Id"]))

    def _relay(self, host: str, port: int) -> Duplex:
        return _Relay(self._exec(relay_argv(host, port)), self, f"{host}:{port}")

    def _found(self) -> Found:
        try:
            found = self._opened().containers.get(self.place.name)
        except NotFound:
            raise ConfigurationError(
                f"There is no container {self.place.name!r} at {self._address()}; running are: {self._running()}."
            ) from None
        except (DockerException, requests.RequestException, OSError) as error:
            raise self._failed(error) from None
        if found.status != "running":
            raise TransientFailure(f"The {self} is {found.status}; start it and try again.")
        return found

    def _running(self) -> str:
        names = sorted(str(each.name) for each in self._opened().containers.list())
        return ", ".join(names[:20]) or "none"

    def _opened(self) -> docker.DockerClient:
        with self._lock:
            if self._client is None:
                try:
                    _check_socket(self._address())
                    given: dict[str, Any] = {"base_url": self.engine} if self.engine else {}
                    make = docker.DockerClient if self.engine else docker.from_env
                    self._client = make(version="auto", timeout=_API_SECONDS, **given)
                except (DockerException, requests.RequestException, OSError) as error:
                    raise self._failed(error) from None
            return self._client

    def _address(self) -> str:
        return self.engine or os.environ.get("DOCKER_HOST") or _USUAL

    def _failed(self, error: Exception) -> PlatformOpsError:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        reason = " ".join(str(getattr(error, "explanation", None) or reason).split())[:300]
        if isinstance(error, APIError):
            return TransientFailure(
                f"The engine of {self} answered: {reason}; look at the container and try again."
            )
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


class _Relay:
    """An exec as a connection to the database; how it ended becomes the reason of a failure."""

    def __init__(self, stream: ExecStream, host: Container, address: str) -> None:
        self._stream, self._host, self._address = stream, host, address
        self._began = False

    def recv(self, size: int, /) -> bytes:
        data = self._stream.recv(size)
        if not data and not self._began:
            raise self._problem(self._stream.final_code())
        self._began = True
        return data

    def sendall(self, data: bytes, /) -> None:
        self._stream.send(data)

    def shutdown_write(self) -> None:
        self._stream.end_stdin()

    def close(self) -> None:
        self._stream.close()

    def _problem(self, code: int) -> PlatformOpsError:
        if code in (NO_RELAY, 126, 127):
            return ConfigurationError(
                f"The {self._host} has no sh with perl or nc to relay to {self._address}; let its server listen on "
                'the container\'s network and configure a password, or publish its port and use where = "local".'
            )
        return TransientFailure(
            f"No server answers at {self._address} in {self._host}; check `host` and `port`."
        )
