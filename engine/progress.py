"""How long work tells how far it is."""

from __future__ import annotations

import time
from typing import Protocol


class Progress(Protocol):
    """Called now and then: `what` in words, `done` and `total` in bytes (0: not known)."""

    def __call__(self, what: str, done: int = 0, total: int = 0) -> None: ...


def silent(what: str, done: int = 0, total: int = 0) -> None:
    """Tells nobody."""


class Throttled:
    """Passes on at most one call in `seconds`; the words of the last one tell the rest."""

    def __init__(self, progress: Progress, seconds: float = 5.0) -> None:
        self._progress = progress
        self._seconds = seconds
        self._last = time.monotonic()

    def __call__(self, what: str, done: int = 0, total: int = 0) -> None:
        if time.monotonic() - self._last >= self._seconds:
            self._last = time.monotonic()
            self._progress(what, done, total)


def counted(count: int, noun: str, of: int | None = None) -> str:
    """`1 table`, `1,204 tables`, `3 of 8 tables`."""
    few = f"{count:,}" if of is None else f"{count:,} of {of:,}"
    return f"{few} {noun}{'' if (of or count) == 1 else 's'}"


def readable_bytes(count: float) -> str:
    """Bytes for people: `312 B`, `4.1 MB` (powers of ten)."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return ""


def readable_seconds(seconds: float) -> str:
    """A duration for people: `0.4 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
