"""paramiko's transport with one thing more: a channel to a Unix socket of the far side."""

from __future__ import annotations

import threading
from typing import Any

import paramiko
from paramiko.common import cMSG_CHANNEL_OPEN

_KIND = "direct-streamlocal@openssh.com"


class UnixCapableTransport(paramiko.Transport):
    """`open_channel` writes no address for the kinds it does not know; OpenSSH wants a path in this one."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._paths = threading.local()

    def open_unix(self, path: str, timeout: float) -> paramiko.Channel:
        """A channel to the socket at `path` there.

        Raises:
            paramiko.SSHException: it is refused, or there is none.
        """
        self._paths.wanted = path
        return self.open_channel(_KIND, timeout=timeout)

    def _send_user_message(self, data: paramiko.Message) -> None:
        opening = paramiko.Message()
        opening.add_byte(cMSG_CHANNEL_OPEN)
        opening.add_string(_KIND)
        if data.asbytes().startswith(opening.asbytes()):
            data.add_string(self._paths.wanted)  # called in the thread that called open_channel
            data.add_string("")
            data.add_int(0)
        super()._send_user_message(data)  # type: ignore[misc] # the stubs leave it out
