"""Progress for a person or a log: plain lines with the seconds since the start; never silent for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import click

_SILENCE_SECONDS = 10.0


@dataclass
class Progress:
    """Lines from several threads, one at a time. `started` is a monotonic time in seconds."""

    started: float = field(default_factory=time.monotonic)
    _busy: dict[str, float] = field(default_factory=dict)
    _last: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def say(self, line: str) -> None:
        """Print one line."""
        with self._lock:
            self._last = time.monotonic()
            click.echo(f"[{self.seconds:6.1f} s] {line}")

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Name what is being done; a silence says so again."""
        self._busy[what] = time.monotonic()
        self.say(f"{what} ...")
        try:
            yield
        finally:
            self._busy.pop(what, None)

    @contextmanager
    def never_silent(self) -> Iterator[None]:
        """While inside, say after ten silent seconds what is still being done."""
        over = threading.Event()
        thread = threading.Thread(target=self._watch, args=(over,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _watch(self, over: threading.Event) -> None:
        while not over.wait(1.0):
            busy = ", ".join(sorted(self._busy))
            if busy and time.monotonic() - self._last >= _SILENCE_SECONDS:
                self.say(f"still at it: {busy}")
