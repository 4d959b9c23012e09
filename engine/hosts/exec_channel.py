"""The stream of one `exec` in a container: stdin goes up, stdout and stderr come down in frames."""

from __future__ import annotations

import contextlib
import select
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
_STALL_MILLISECONDS = 500


class ExecStream:
    """`opened` is the socket of `response`, `inspect` asks how the exec is."""

    def __init__(self, response: requests.Response, opened: Any, inspect: Callable[[], Mapping[str, Any]]) -> None:
        self._response = response
        self._opened = opened
        self._socket = getattr(opened, "_sock", opened)
        self._socket.settimeout(None)
        self._inspect = inspect
        self._kind, self._left = 0, 0
        self._stderr_pieces: deque[bytes] = deque(maxlen=_STDERR_PIECES)
        self._ended = threading.Event()
        self._ended_at = 0.0
        self._reading = threading.Lock()

    def recv(self, size: int) -> bytes:
        with self._reading:
            while self._left or self._next_frame():
                data = self._received(size)
                if data and self._kind == _STDOUT:
                    return data
                if not data:
                    break
                self._stderr_pieces.append(data)
            self._end()
            return b""

    def send(self, data: bytes) -> None:
        """The engine may hold a connection for a minute when its program has ended: so it is asked where it stalls."""
        if type(self._socket) is not socket.socket:  # of SSH or TLS: they cannot be asked not to wait
            self._socket.sendall(data)
            return
        view, waiting = memoryview(data), select.poll()
        try:
            waiting.register(self._socket.fileno(), select.POLLOUT)
        except ValueError:
            raise BrokenPipeError("the connection was closed") from None
        while view:
            if waiting.poll(_STALL_MILLISECONDS):
                with contextlib.suppress(BlockingIOError):
                    view = view[self._socket.send(view, socket.MSG_DONTWAIT) :]
            elif self._reported_code() is not None:
                self.close()
                raise BrokenPipeError("the program has ended")

    def end_stdin(self) -> None:
        if hasattr(self._socket, "shutdown_write"):  # a channel of SSH
            self._socket.shutdown_write()
        else:
            self._socket.shutdown(socket.SHUT_WR)

    def stderr_lines(self) -> Iterator[bytes]:
        self._ended.wait()
        yield from b"".join(self._stderr_pieces).splitlines()

    def exit_code(self) -> int | None:
        self._look()
        if not self._ended.is_set():
            return None
        code = self._reported_code()
        if code is None and time.monotonic() - self._ended_at > _SETTLE_SECONDS:
            return LOST
        return code

    def _reported_code(self) -> int | None:
        """What the engine says, whatever has come of its output."""
        try:
            state = self._inspect()
        except (DockerException, requests.RequestException, OSError):
            return LOST
        code = state.get("ExitCode")
        return None if state.get("Running") or code is None else int(code)

    def connected(self) -> bool:
        return False  # a signal has an exit code here

    def final_code(self) -> int:
        while (code := self.exit_code() if self._ended.is_set() else self._reported_code()) is None:
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

    def _look(self) -> None:
        """See whether it has ended where nobody reads what it writes; nothing of that is taken."""
        if self._ended.is_set() or not self._reading.acquire(blocking=False):
            return
        try:
            while not (self._left and self._kind == _STDOUT) and self._has_come():
                data = self._received(self._left) if self._left else b""
                if data:
                    self._stderr_pieces.append(data)
                elif self._left or not self._next_frame():
                    self._end()
                    return
        finally:
            self._reading.release()

    def _has_come(self) -> bool:
        """Whether something can be read at once, and be it the end."""
        waiting = select.poll()
        try:
            waiting.register(self._socket.fileno(), select.POLLIN)
        except (OSError, ValueError):
            return False  # closed by us
        return bool(waiting.poll(0))

    def _received(self, size: int) -> bytes:
        try:
            data = bytes(self._socket.recv(min(size, self._left)))
        except OSError:
            return b""
        self._left -= len(data)
        return data

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
