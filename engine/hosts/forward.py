"""A port of this machine that leads to a server elsewhere, for this user's own connections alone.

The server at the other end may trust whoever comes that way, so another user of this machine must
not: a connection whose socket is not ours, by the kernel's own table, is closed at once.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from engine.errors import PlatformOpsError

_CHUNK = 1 << 16
_LOOPBACK = "127.0.0.1"
_ESTABLISHED = "01"
_PAUSE_SECONDS = 0.1


class Duplex(Protocol):
    """A connection to what listens there: a channel of SSH, or a relay in a container."""

    def recv(self, size: int, /) -> bytes: ...

    def sendall(self, data: bytes, /) -> object: ...

    def shutdown_write(self) -> object: ...

    def close(self) -> object: ...


class Forward:
    """Listens on a free port of 127.0.0.1 until closed; `open_far` makes one connection at the far side."""

    def __init__(self, open_far: Callable[[], Duplex]) -> None:
        self._open_far = open_far
        self._listener = socket.create_server((_LOOPBACK, 0))
        self.address: tuple[str, int] = (_LOOPBACK, self._listener.getsockname()[1])
        self.problem: PlatformOpsError | None = None
        self._closed = threading.Event()
        threading.Thread(target=self._accept, daemon=True, name=f"forward {self.address[1]}").start()

    def close(self) -> None:
        self._closed.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept
        self._listener.close()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                near, peer = self._listener.accept()
            except OSError:  # closed, or this process has no descriptor left for the moment
                self._closed.wait(_PAUSE_SECONDS)
            else:
                self._take(near, peer)

    def _take(self, near: socket.socket, peer: tuple[str, int]) -> None:
        """Serve a connection of ours; another's, or one that cannot be served at the moment, is closed."""
        with contextlib.suppress(OSError, RuntimeError, MemoryError):  # no descriptor, no thread
            if is_ours(peer, self.address):
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()
                return
        near.close()

    def _serve(self, near: socket.socket) -> None:
        with near:
            try:
                far = self._open_far()
            except PlatformOpsError as error:
                self.problem = error
                return
            up = threading.Thread(target=_send_up, args=(near, far), daemon=True)
            up.start()
            try:
                self.problem = None
                _pour(far.recv, near.sendall)
            except PlatformOpsError as error:
                self.problem = error
            finally:
                with contextlib.suppress(OSError):
                    near.shutdown(socket.SHUT_RDWR)  # wakes the other direction
                up.join()
                far.close()


def _send_up(near: socket.socket, far: Duplex) -> None:
    _pour(near.recv, far.sendall)
    with contextlib.suppress(OSError, EOFError):
        far.shutdown_write()


def _pour(receive: Callable[[int], bytes], send: Callable[[bytes], object]) -> None:
    with contextlib.suppress(OSError, EOFError):
        while data := receive(_CHUNK):
            send(data)


def is_ours(peer: tuple[str, int], listener: tuple[str, int]) -> bool:
    """Whether the socket at `peer`, connected to `listener`, belongs to this user."""
    wanted = [_as_kernel(peer), _as_kernel(listener), _ESTABLISHED]
    with Path("/proc/net/tcp").open(encoding="ascii") as table:
        for line in table:
            fields = line.split()
            if fields[1:4] == wanted:
                return int(fields[7]) == os.geteuid()
    return False


def _as_kernel(address: tuple[str, int]) -> str:
    packed = int.from_bytes(socket.inet_aton(address[0]), sys.byteorder)
    return f"{packed:08X}:{address[1]:04X}"
