"""The stream of one `exec` in a container: stdin goes up, stdout and stderr come down in frames."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import requests
from docker.errors import DockerException

from engine.hosts.base import LOST

_HEADER = struct.Struct(">BxxxL")
_STDOUT = 1
_STDERR_PIECES = 64
_SETTLE_SECONDS = 10.0
_POLL_SECONDS = 0.05


class ExecStream:
    """`opened` is the socket of `response`, `inspect` asks how the exec is."""

    def __init__(
        self, response: requests.Response, opened: Any, inspect: Callable[[], Mapping[str, Any]]
    ) -> None:
        self._response = response
        self._opened = opened
        self._socket = getattr(opened, "_sock", opened)
        self._socket.settimeout(None)
        self._inspect = inspect
        self._kind, self._left = 0, 0
        self._said: deque[bytes] = deque(maxlen=_STDERR_PIECES)
        self._ended = threading.Event()
        self._ended_at = 0.0

    def recv(self, size: int) -> bytes:
        while self._left or self._next_frame():
            try:
                data = bytes(self._socket.recv(min(size, self._left)))
            except OSError:
                data = b""
            if not data:
                break
            self._left -= len(data)
            if self._kind == _STDOUT:
                return data
            self._said.append(data)
        self._end()
        return b""

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def end_stdin(self) -> None:
        if hasattr(self._socket, "shutdown_write"):  # a channel of SSH
            self._socket.shutdown_write()
        else:
            self._socket.shutdown(socket.SHUT_WR)

    def stderr_lines(self) -> Iterator[bytes]:
        self._ended.wait()
        yield from b"".join(self._said).splitlines()

    def exit_code(self) -> int | None:
        if not self._ended.is_set():
            return None
        try:
            state = self._inspect()
        except (DockerException, requests.RequestException, OSError):
            return LOST
        if not state.get("Running") and state.get("ExitCode") is not None:
            return int(state["ExitCode"])
        return LOST if time.monotonic() - self._ended_at > _SETTLE_SECONDS else None

    def connected(self) -> bool:
        return False  # a signal has an exit code here

    def final_code(self) -> int:
        """The exit code once its stdout has ended."""
        while (code := self.exit_code()) is None:
            time.sleep(_POLL_SECONDS)
        return code

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes a reader in another thread
        with contextlib.suppress(OSError):
            self._response.close()
            self._opened.close()
            self._socket.close()
        self._end()

    def _next_frame(self) -> bool:
        header = b""
        while len(header) < _HEADER.size:
            try:
                piece = bytes(self._socket.recv(_HEADER.size - len(header)))
            except OSError:
                return False
            if not piece:
                return False
            header += piece
        self._kind, self._left = _HEADER.unpack(header)
        return True if self._left else self._next_frame()

    def _end(self) -> None:
        if not self._ended.is_set():
            self._ended_at = time.monotonic()
            self._ended.set()
