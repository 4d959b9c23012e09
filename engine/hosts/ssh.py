"""Another machine, over SSH: one connection for this process, a channel for each program and session.

Only a host key that is in known_hosts is accepted. Nothing of ours is left there: no file, and no
program that outlives the connection (see `engine.hosts.shell`).
"""

from __future__ import annotations

import contextlib
import logging
import shlex
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import paramiko

from engine.config.secrets import resolve
from engine.errors import ConfigurationError, OperationFailed, PlatformOpsError, TransientFailure
from engine.hosts import remote
from engine.hosts.base import LOST, Done, Program, Route
from engine.hosts.forward import Duplex, Forward
from engine.hosts.shell import sweep_argv
from engine.hosts.ssh_keys import RefuseUnknown, fingerprint, known_host_keys, private_key
from engine.hosts.ssh_transport import UnixCapableTransport
from engine.hosts.where import SshPlace

logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # our errors tell what it would log

_CONNECT_SECONDS = 15.0
_CHANNEL_SECONDS = 30.0
_KEEPALIVE_SECONDS = 15
_SWEEP_SECONDS = 60.0
_WINDOW = 8 << 20  # bytes that may be under way to us in one channel
_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 6),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 90_000),
)


@dataclass
class Ssh:
    """`key` is where a private key is ('' : the agent's keys); `known_hosts` a file ('': the usual ones)."""

    place: SshPlace
    key: str = ""
    known_hosts: str = ""
    _client: paramiko.SSHClient | None = None
    _forwards: dict[tuple[str, int], Forward] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    crosses_network = True
    image = None

    def __str__(self) -> str:
        return str(self.place)

    @property
    def note(self) -> str:
        return f" on {self}"

    def run(self, argv: Sequence[str], *, env: Mapping[str, str], timeout: float) -> Done:
        what = f"{Path(argv[0]).name} on {self}"
        return remote.finish(remote.start(self, argv, env), what, timeout)

    def stream(self, argv: Sequence[str], *, env: Mapping[str, str]) -> Program:
        return remote.start(self, argv, env)

    def route(self, host: str, port: int, *, trusted: bool) -> Route:
        del trusted  # every connection comes from there
        self._transport()  # so that what is wrong with SSH is said now, and in its own words
        with self._lock:
            if (host, port) not in self._forwards:
                self._forwards[host, port] = Forward(lambda: self._open_database(host, port))
            forward = self._forwards[host, port]
        return forwarded(forward, host)

    def end_leftovers(self, marks: Mapping[str, str]) -> int:
        done = self.run(sweep_argv(marks), env={}, timeout=_SWEEP_SECONDS)
        if done.code:
            raise OperationFailed(
                f"What a dead run left on {self} cannot be looked for: {done.stderr[-200:]}"
            )
        return len(done.stdout.split())

    def launch(self, argv: Sequence[str]) -> remote.ExecChannel:
        try:
            channel = self._transport().open_session(window_size=_WINDOW, timeout=_CHANNEL_SECONDS)
            channel.exec_command(shlex.join(argv))
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise TransientFailure(
                f"{self} starts no program over SSH: {error}; try again, and compare MaxSessions in its sshd_config "
                "with `jobs`."
            ) from None
        return _Channel(channel)

    def close(self) -> None:
        with self._lock:
            for forward in self._forwards.values():
                forward.close()
            self._forwards.clear()
            if self._client is not None:
                self._client.close()
                self._client = None

    def _open_database(self, host: str, port: int) -> Duplex:
        try:
            transport = self._transport()
            if host.startswith("/"):
                return transport.open_unix(f"{host}/.s.PGSQL.{port}", _CHANNEL_SECONDS)
            there, from_here = (host, port), ("127.0.0.1", 0)
            return transport.open_channel("direct-tcpip", there, from_here, timeout=_CHANNEL_SECONDS)
        except paramiko.ChannelException as error:
            raise self._refused(error, host, port) from None
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise TransientFailure(f"The SSH connection to {self} failed: {error}; try again.") from None

    def _refused(self, error: paramiko.ChannelException, host: str, port: int) -> PlatformOpsError:
        if error.code == 1:
            return ConfigurationError(
                f"{self} does not let us forward to {host}:{port}; allow it in its sshd_config (AllowTcpForwarding, "
                "AllowStreamLocalForwarding, PermitOpen) or choose another `where`."
            )
        # OpenSSH gives the same answer for a socket that is not there and one that it may not forward.
        also = " (and AllowStreamLocalForwarding in its sshd_config)" if host.startswith("/") else ""
        return TransientFailure(
            f"{self} does not reach the database at {host}:{port}; check that it runs there, `host` and `port`{also}."
        )

    def _transport(self) -> UnixCapableTransport:
        with self._lock:
            transport = self._client.get_transport() if self._client else None
            if transport is None or not transport.is_active():
                if self._client is not None:
                    self._client.close()
                self._client = self._connected()
                transport = self._client.get_transport()
            assert isinstance(transport, UnixCapableTransport)  # noqa: S101 - the factory's own
            return transport

    def _connected(self) -> paramiko.SSHClient:
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(RefuseUnknown(self.known_hosts))
        known_host_keys(client, self.known_hosts)
        key = private_key(resolve(self.key), self.key) if self.key else None
        try:
            connection = socket.create_connection((self.place.host, self.place.port), _CONNECT_SECONDS)
        except OSError as error:
            raise TransientFailure(
                f"Cannot reach {self} by SSH: {error.strerror or error}; check the address and that sshd runs there."
            ) from None
        for option in _KEEPALIVE:
            connection.setsockopt(*option)
        try:
            client.connect(
                self.place.host,
                self.place.port,
                self.place.user,
                pkey=key,
                sock=connection,
                allow_agent=key is None,
                look_for_keys=False,
                timeout=_CONNECT_SECONDS,
                banner_timeout=_CONNECT_SECONDS,
                auth_timeout=_CONNECT_SECONDS,
                channel_timeout=_CHANNEL_SECONDS,
                transport_factory=UnixCapableTransport,
            )
        except (PlatformOpsError, paramiko.SSHException, OSError, EOFError) as error:
            client.close()
            connection.close()
            raise self._not_let_in(error) from None
        transport = client.get_transport()
        assert transport is not None  # noqa: S101 - it is connected
        transport.set_keepalive(_KEEPALIVE_SECONDS)
        return client

    def _not_let_in(self, error: Exception) -> PlatformOpsError:
        if isinstance(error, PlatformOpsError):
            return error
        name, file = self.place.host, self.known_hosts or "~/.ssh/known_hosts"
        if isinstance(error, paramiko.BadHostKeyException):
            return ConfigurationError(
                f"The SSH host key of {name} is not the one in {file} (it offers {fingerprint(error.key)}): "
                "find out why it changed before you replace it there."
            )
        if isinstance(error, paramiko.AuthenticationException):
            with_what = f"the key {self.key}" if self.key else "any key of the SSH agent"
            return ConfigurationError(
                f"{self} does not accept {with_what}; add its public half to authorized_keys there or correct ssh_key."
            )
        reason = str(error) or type(error).__name__
        return TransientFailure(f"SSH to {self} failed: {reason}; check what listens there and try again.")


def forwarded(forward: Forward, host: str) -> Route:
    """libpq's parameters for a forward. TLS checks the server's own name; a socket has no TLS."""
    address, port = forward.address
    parameters = {"host": host, "hostaddr": address, "port": str(port)}
    if host.startswith("/"):
        parameters |= {"host": "localhost", "sslmode": "disable"}
    return Route(parameters, lambda: forward.problem)


class _Channel:
    """A session channel as `remote.ExecChannel`."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel

    def recv(self, size: int) -> bytes:
        try:
            return self._channel.recv(size)
        except OSError:
            return b""

    def send(self, data: bytes) -> None:
        self._channel.sendall(data)

    def stderr_lines(self) -> Iterator[bytes]:
        with contextlib.suppress(OSError):
            yield from self._channel.makefile_stderr("rb")

    def exit_code(self) -> int | None:
        if not self._channel.exit_status_ready():
            return None
        code = self._channel.recv_exit_status()
        return LOST if code < 0 else code  # paramiko does not tell which signal ended it

    def connected(self) -> bool:
        return self._channel.get_transport().is_active()

    def close(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            self._channel.close()
