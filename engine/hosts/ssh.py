"""Another machine, over SSH: one connection for this process, a channel for each program and session.

Only a host key that is in known_hosts is accepted. Nothing of ours is left there: no file, and no
program that outlives the connection (see `engine.hosts.lifeline`).
"""

from __future__ import annotations

import shlex
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import paramiko

from engine.errors import ConfigurationError, PlatformOpsError, TransientFailure
from engine.hosts import remote, remote_put, remote_run
from engine.hosts.base import Completed, Data, Environment, Program
from engine.hosts.endpoints import Endpoint, Tunnel, Unix
from engine.hosts.forward import Duplex
from engine.hosts.forwards import Forwards
from engine.hosts.ssh_channel import SshChannel
from engine.hosts.ssh_connection import CHANNEL_SECONDS, Connector
from engine.hosts.ssh_transport import UnixCapableTransport
from engine.hosts.where import OverSsh

_WINDOW = 8 << 20  # bytes that may be under way to us in one channel


@dataclass
class Ssh:
    """`key` is where a private key is ('': the agent's keys); `known_hosts` a file ('': the usual ones)."""

    where: OverSsh
    key: str = ""
    known_hosts: str = ""
    _client: paramiko.SSHClient | None = None
    _forwards: Forwards = field(init=False)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    crosses_network = True
    image = None

    def __post_init__(self) -> None:
        self._forwards = Forwards(self._open_far)

    def __str__(self) -> str:
        return str(self.where)

    @property
    def note(self) -> str:
        return f" on {self}"

    def run(self, argv: Sequence[str], *, env: Environment, timeout: float, stdin: bytes | None = None) -> Completed:
        return remote_run.run(self, argv, env, timeout, stdin)

    def stream(self, argv: Sequence[str], *, env: Environment, stdin: bool = False) -> Program:
        return remote.start(self, argv, env, stdin=stdin)

    def put(self, path: str, data: Data, *, mode: int) -> None:
        remote_put.put(self, path, data, mode)

    def tunnel(self, endpoint: Endpoint, *, from_there: bool) -> Tunnel:
        del from_there  # every connection comes from there
        self._transport()  # so that what is wrong with SSH is said now, and in its own words
        return self._forwards.to(endpoint)

    def end_leftovers(self, marks: Mapping[str, str], *, sparing: str = "") -> int:
        return remote_run.end_leftovers(self, marks, sparing)

    def launch(self, argv: Sequence[str]) -> SshChannel:
        try:
            channel = self._transport().open_session(window_size=_WINDOW, timeout=CHANNEL_SECONDS)
            channel.exec_command(shlex.join(argv))
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise TransientFailure(
                f"{self} starts no program over SSH: {error}; try again, and compare MaxSessions in its sshd_config "
                "with `jobs`."
            ) from None
        return SshChannel(channel)

    def close(self) -> None:
        self._forwards.close()
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _open_far(self, endpoint: Endpoint) -> Duplex:
        try:
            transport = self._transport()
            if isinstance(endpoint, Unix):
                return transport.open_unix(endpoint.path, CHANNEL_SECONDS)
            there, from_here = (endpoint.host, endpoint.port), ("127.0.0.1", 0)
            return transport.open_channel("direct-tcpip", there, from_here, timeout=CHANNEL_SECONDS)
        except paramiko.ChannelException as error:
            raise self._refused(error, endpoint) from None
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise TransientFailure(f"The SSH connection to {self} failed: {error}; try again.") from None

    def _refused(self, error: paramiko.ChannelException, endpoint: Endpoint) -> PlatformOpsError:
        if error.code == 1:
            return ConfigurationError(
                f"{self} does not let us forward to {endpoint}; allow it in its sshd_config (AllowTcpForwarding, "
                "AllowStreamLocalForwarding, PermitOpen) or choose another `where`."
            )
        # OpenSSH gives the same answer for a socket that is not there and one that it may not forward.
        also = " (and AllowStreamLocalForwarding in its sshd_config)" if isinstance(endpoint, Unix) else ""
        return TransientFailure(
            f"{self} reaches nothing at {endpoint}; check that it runs there and its address{also}."
        )

    def _transport(self) -> UnixCapableTransport:
        with self._lock:
            transport = self._client.get_transport() if self._client else None
            if transport is None or not transport.is_active():
                if self._client is not None:
                    self._client.close()
                self._client = Connector(self.where, self.key, self.known_hosts).opened()
                transport = self._client.get_transport()
            assert isinstance(transport, UnixCapableTransport)  # noqa: S101 - the factory's own
            return transport
