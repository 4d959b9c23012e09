"""Pieces from one thread to another as a pipe takes them, but without a copy."""

from __future__ import annotations

import threading
from collections import deque
from typing import Self

_ROOM = 4 << 20


class BoundedBuffer:
    """What one thread writes another reads, at most 4 MiB and a piece later.

    The one who writes uses it as a context, the other one calls `leave` at last; whoever owns both calls `close`.
    """

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._ended = self._left = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    def write(self, piece: bytes) -> int:
        """Waits while there is no room.

        Raises:
            BrokenPipeError: nobody reads any more.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._held < _ROOM or self._left)
            if self._left:
                raise BrokenPipeError
            if piece:
                self._pieces.append(piece)
                self._held += len(piece)
                self._changed.notify_all()
        return len(piece)

    def read(self, size: int = -1) -> bytes:
        """What is there of the next pieces, `size` bytes at most; none at the end.

        Raises:
            BaseException: what ended the one who writes.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._pieces or self._ended)
            if not self._pieces:
                if self._error is not None:
                    raise self._error
                return b""
            pieces = [self._pieces.popleft()]
            count = len(pieces[0])
            if 0 <= size < count:
                self._pieces.appendleft(pieces[0][size:])
                pieces, count = [pieces[0][:size]], size
            while self._pieces and count + len(self._pieces[0]) <= size:
                pieces.append(self._pieces.popleft())
                count += len(pieces[-1])
            self._held -= count
            self._changed.notify_all()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Nothing more is written."""
        with self._changed:
            self._ended, self._error = True, self._error or error
            self._changed.notify_all()

    def leave(self) -> None:
        """Nothing more is read: whoever writes is told so."""
        with self._changed:
            self._left = True
            self._changed.notify_all()

    def close(self) -> None:
        """Neither goes on: what has not been read is not whole."""
        with self._changed:
            self._pieces.clear()
            self._held, self._ended, self._left = 0, True, True
            self._error = self._error or BrokenPipeError()
            self._changed.notify_all()
