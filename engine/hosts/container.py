"""A container of Docker or Podman, through the engine's socket (Podman answers the same API).

The programs run inside it, so they are the server's own image's. What listens there is reached by its
address on the container's network or its socket; where that is not possible (another machine's
engine, a server that listens to its own loopback alone, or one that trusts only that), by a relay in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from docker.models.containers import Container as Found

from engine.hosts import remote, remote_put, remote_run
from engine.hosts.base import Completed, Data, Environment, Program
from engine.hosts.container_engine import ContainerEngine
from engine.hosts.container_files import addresses, answers, is_here, socket_here
from engine.hosts.container_relay import Relay
from engine.hosts.endpoints import Endpoint, Tcp, Tunnel, Unix
from engine.hosts.exec_channel import ExecStream
from engine.hosts.forward import Duplex
from engine.hosts.forwards import Forwards
from engine.hosts.shell import relay_argv
from engine.hosts.where import InContainer

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass
class Container:
    """`engine` is the address of the Docker or Podman socket ('': `$DOCKER_HOST`, else Docker's own)."""

    where: InContainer
    engine: str = ""
    _engine: ContainerEngine = field(init=False)
    _forwards: Forwards = field(init=False)

    def __post_init__(self) -> None:
        self._engine = ContainerEngine(self.engine)
        self._forwards = Forwards(self._relay)

    def __str__(self) -> str:
        return str(self.where)

    @property
    def note(self) -> str:
        return f" in {self}"

    @property
    def crosses_network(self) -> bool:
        return self._engine.is_far

    @property
    def image(self) -> str | None:
        return str(self._found().attrs["Image"])

    def run(self, argv: Sequence[str], *, env: Environment, timeout: float, stdin: bytes | None = None) -> Completed:
        return remote_run.run(self, argv, env, timeout, stdin)

    def stream(self, argv: Sequence[str], *, env: Environment, stdin: bool = False) -> Program:
        return remote.start(self, argv, env, stdin=stdin)

    def put(self, path: str, data: Data, *, mode: int) -> None:
        remote_put.put(self, path, data, mode)

    def tunnel(self, endpoint: Endpoint, *, from_there: bool) -> Tunnel:
        return self._direct(endpoint, from_there) or self._forwards.to(endpoint)

    def end_leftovers(self, marks: Mapping[str, str], *, sparing: str = "") -> int:
        return remote_run.end_leftovers(self, marks, sparing)

    def launch(self, argv: Sequence[str]) -> ExecStream:
        return self._engine.start(self.where, argv)

    def close(self) -> None:
        self._forwards.close()
        self._engine.close()

    def _found(self) -> Found:
        return self._engine.found(self.where)

    def _direct(self, endpoint: Endpoint, from_there: bool) -> Tunnel | None:
        """The way without a relay, when the container is this machine's."""
        found = self._found()
        pid = int(found.attrs["State"]["Pid"])
        if not is_here(found.id or "", pid):
            return None
        if isinstance(endpoint, Unix):
            path = socket_here(pid, endpoint.path)
            return Tunnel(Unix(str(path))) if path else None
        if endpoint.host in _LOOPBACK and not from_there:
            for address, port in addresses(found.attrs, endpoint.port):
                if answers(address, port):
                    return Tunnel(Tcp(address, port))
        return None

    def _relay(self, endpoint: Endpoint) -> Duplex:
        return Relay(self.launch(relay_argv(endpoint)), str(self), endpoint)
