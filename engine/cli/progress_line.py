"""Progress on stderr: one line that is rewritten on a terminal, a line now and then in a log."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from types import TracebackType

from engine.progress import readable_bytes
from engine.words.wording import one_line, width

_REWRITE_SECONDS = 0.1
_LOG_SECONDS = 15.0


class ProgressLine:
    """A `Progress` that may be called from several threads at once.

    In a log, the first word about something is written at once and then one at most each 15 s.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._terminal = sys.stderr.isatty()
        self._shown: dict[str, float] = {}
        self._last = 0.0
        self._drawn = False

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the line away, so that what follows begins at the left."""
        with self._lock:
            if self._drawn:
                self._write("\r\x1b[K")

    def __call__(self, what: str, done: int = 0, total: int = 0) -> None:
        line = " ".join(_words(one_line(what), done, total))
        with self._lock:
            now = time.monotonic()
            if self._terminal:
                self._rewrite(line, now)
            elif now - self._shown.get(what, -_LOG_SECONDS) >= _LOG_SECONDS:
                self._shown[what] = now
                self._write(f"{datetime.now().astimezone():%H:%M:%S} {line}\n")

    def _rewrite(self, line: str, now: float) -> None:
        if now - self._last < _REWRITE_SECONDS:
            return
        self._last, self._drawn = now, True
        room = shutil.get_terminal_size().columns - 1
        while width(line) > room:
            line = line[:-1]
        self._write(f"\r\x1b[K{line}")

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:
            self._terminal, self._drawn = False, False  # nobody looks any more; the work goes on


def _words(what: str, done: int, total: int) -> Iterator[str]:
    yield what
    if total and not done:
        yield f"({readable_bytes(total)})"
    elif total:
        yield f"{readable_bytes(done)} of {readable_bytes(total)} ({100 * done / total:.0f} %)"
    elif done:
        yield readable_bytes(done)
