"""A session channel of SSH as `engine.hosts.channel.ExecChannel`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import paramiko

from engine.hosts.base import LOST

_POLL_SECONDS = 0.02


class SshChannel:
    """What OpenSSH tells of a command: its streams, and its exit code unless a signal ended it."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel

    def recv(self, size: int) -> bytes:
        try:
            return self._channel.recv(size)
        except OSError:
            return b""

    def send(self, data: bytes) -> None:
        with _as_os_error():
            self._channel.sendall(data)

    def end_stdin(self) -> None:
        with _as_os_error():
            self._channel.shutdown_write()

    def stderr_lines(self) -> Iterator[bytes]:
        with contextlib.suppress(OSError):
            yield from self._channel.makefile_stderr("rb")

    def exit_code(self) -> int | None:
        if not self._channel.exit_status_ready():
            return None
        code = self._channel.recv_exit_status()
        return LOST if code < 0 else code  # paramiko does not tell which signal ended it

    def final_code(self) -> int:
        while (code := self.exit_code()) is None:
            time.sleep(_POLL_SECONDS)
        return code

    def connected(self) -> bool:
        return self._channel.get_transport().is_active()

    def close(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            self._channel.close()


@contextlib.contextmanager
def _as_os_error() -> Iterator[None]:
    try:
        yield
    except (paramiko.SSHException, EOFError) as error:
        raise OSError(str(error)) from None
