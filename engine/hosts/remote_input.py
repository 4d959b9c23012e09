"""The input of a program at the far end: bytes by a channel of their own, its end by the program's own channel."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.hosts.channel import ExecChannel
from engine.hosts.lifeline import TAKEN, UNWANTED

_PIECE = 1 << 17


@dataclass(frozen=True, slots=True)
class Ends:
    """What an input may come to: `whole` tells the far side, `broken` ends the program, which nobody can tell any more."""

    whole: Callable[[], None]
    broken: Callable[[], None]
    given_up: Callable[[], None]


class RemoteInput(io.RawIOBase):
    """Closing it says that the input is whole, once the far side has taken all of it. `abandon` says it never will be."""

    def __init__(self, feed: ExecChannel, ends: Ends) -> None:
        self._feed = feed
        self._ends = ends
        self._over = False

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        """All of `data`. Raises BrokenPipeError when the program does not take it, also after its end."""
        view = memoryview(data).cast("B")
        for start in range(0, len(view), _PIECE):
            try:
                self._feed.send(bytes(view[start : start + _PIECE]))
            except OSError:
                self._settle()
                raise BrokenPipeError("the program does not take its input") from None
        return len(view)

    def close(self) -> None:
        if self.closed:
            return
        super().close()
        if not self._over:
            with contextlib.suppress(OSError):
                self._feed.end_stdin()
            self._settle()

    def abandon(self) -> None:
        """The input breaks off here: the program is ended, and never sees an end of it."""
        if not self._over:
            self._ends.given_up()

    def cut(self) -> None:
        """Nothing more can be said; wakes whoever writes."""
        self._over = True
        self._feed.close()

    def _settle(self) -> None:
        """All has been sent that could be: what the far side makes of it."""
        if self._is_over():
            return
        code = self._feed.final_code()
        taken = code == 0 and self._feed.recv(len(TAKEN)) == TAKEN
        if self._is_over():  # meanwhile, by another thread
            return
        self.cut()
        if taken or code == UNWANTED:
            self._ends.whole()
        else:
            self._ends.broken()

    def _is_over(self) -> bool:
        return self._over

    def __del__(self) -> None:
        if not self.closed:
            self.abandon()  # one that is only forgotten is not whole
