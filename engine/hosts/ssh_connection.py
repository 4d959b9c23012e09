"""An SSH connection: made with our key, to a host whose key is known, and missed soon when it is gone."""

from __future__ import annotations

import logging
import socket
from dataclasses import dataclass

import paramiko

from engine.errors import ConfigurationError, PlatformOpsError, TransientFailure
from engine.hosts.ssh_keys import RefuseUnknown, fingerprint, known_host_keys, private_key
from engine.hosts.ssh_transport import UnixCapableTransport
from engine.hosts.where import OverSsh
from engine.secrets import resolve

logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # our errors tell what it would log

CHANNEL_SECONDS = 30.0
_CONNECT_SECONDS = 15.0
_KEEPALIVE_SECONDS = 15
_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 6),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 90_000),
)


@dataclass(frozen=True, slots=True)
class Connector:
    """`key` is where a private key is ('': the agent's keys); `known_hosts` a file ('': the usual ones)."""

    where: OverSsh
    key: str = ""
    known_hosts: str = ""

    def opened(self) -> paramiko.SSHClient:
        """A connection of its own.

        Raises:
            TransientFailure: the host cannot be reached.
            ConfigurationError: we do not accept its key, or it does not accept ours.
        """
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(RefuseUnknown(self.known_hosts))
        known_host_keys(client, self.known_hosts)
        key = private_key(resolve(self.key), self.key) if self.key else None
        try:
            connection = socket.create_connection((self.where.host, self.where.port), _CONNECT_SECONDS)
        except OSError as error:
            raise TransientFailure(
                f"Cannot reach {self.where} by SSH: {error.strerror or error}; check the address and that sshd runs there."
            ) from None
        for option in _KEEPALIVE:
            connection.setsockopt(*option)
        try:
            client.connect(
                self.where.host,
                self.where.port,
                self.where.user,
                pkey=key,
                sock=connection,
                allow_agent=key is None,
                look_for_keys=False,
                timeout=_CONNECT_SECONDS,
                banner_timeout=_CONNECT_SECONDS,
                auth_timeout=_CONNECT_SECONDS,
                channel_timeout=CHANNEL_SECONDS,
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
        name, file = self.where.host, self.known_hosts or "~/.ssh/known_hosts"
        if isinstance(error, paramiko.BadHostKeyException):
            return ConfigurationError(
                f"The SSH host key of {name} is not the one in {file} (it offers {fingerprint(error.key)}): "
                "find out why it changed before you replace it there."
            )
        if isinstance(error, paramiko.AuthenticationException):
            with_what = f"the key {self.key}" if self.key else "any key of the SSH agent"
            return ConfigurationError(
                f"{self.where} does not accept {with_what}; add its public half to authorized_keys there or correct ssh_key."
            )
        reason = str(error) or type(error).__name__
        return TransientFailure(f"SSH to {self.where} failed: {reason}; check what listens there and try again.")
