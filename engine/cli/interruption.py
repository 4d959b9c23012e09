"""SIGTERM, SIGINT and SIGHUP end a command in order (engine/hosts/ending.py). A second signal ends it at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from engine.hosts.ending import ended_in_order

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal asked for the end; `number` is the signal's. Passes every `except Exception`."""

    def __init__(self, number: int) -> None:
        super().__init__(
            f"Ended by {signal.Signals(number).name}; what was half-done was taken back, start again when you like."
        )
        self.number = number


@contextmanager
def ended_cleanly() -> Iterator[None]:
    """While the block runs, the first signal raises `Interrupted` in it and ends its child processes."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        raise Interrupted(number)

    with ended_in_order(_SIGNALS):
        before = {number: signal.signal(number, interrupt) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
