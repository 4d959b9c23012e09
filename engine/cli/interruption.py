"""SIGTERM, SIGINT and SIGHUP end a command in order: what it started ends, what is half-written goes.

The main thread may be waiting for threads that each wait for a program (pg_dump, psql, a scratch
server). So the programs are ended, their threads fail and clean up behind themselves, and the main
thread's own `with` and `finally` blocks do the rest. A second signal ends the process at once.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from engine.errors import PlatformOpsError
from engine.hosts.processes import ProcessIdentity, running_pids

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE_SECONDS = 5.0
_POLL_SECONDS = 0.1


class Interrupted(BaseException):
    """A signal asked for the end; `number` is the signal's. Passes every `except Exception`."""

    def __init__(self, number: int) -> None:
        super().__init__(
            f"Ended by {signal.Signals(number).name}; what was half-done was taken back, start again when you like."
        )
        self.number = number


@contextmanager
def ended_cleanly() -> Iterator[None]:
    """While the block runs, the first signal raises `Interrupted` in it and ends its child processes.

    The thread that ends them waits from the beginning: a signal may come while the main thread holds a lock of
    `threading` that a start needs (joining takes one that cannot be taken twice).
    """
    over, woken = threading.Event(), threading.Event()

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        woken.set()
        raise Interrupted(number)

    def end_children() -> None:
        woken.wait()
        if not (over.is_set() or _sparing.is_set()):
            _end_children()

    threading.Thread(target=end_children, name="end children", daemon=True).start()
    before = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if not woken.is_set():
            over.set()
            woken.set()


_sparing = threading.Event()


@contextmanager
def children_spared() -> Iterator[None]:
    """While the block runs, a signal ends no child: taking back what was begun needs programs of its own."""
    _sparing.set()
    try:
        yield
    finally:
        _sparing.clear()


def _end_children() -> None:
    """End every child, also those that threads go on to start, until the process itself ends."""
    asked: dict[ProcessIdentity, float] = {}
    me = ProcessIdentity.current().pid
    while True:
        now = time.monotonic()
        for child in _children(me):
            if child not in asked:
                asked[child] = now
                _send(child, signal.SIGINT)  # PostgreSQL's programs cancel and end; a server ends its sessions
            elif now - asked[child] > _PATIENCE_SECONDS:
                _send(child, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)


def _send(child: ProcessIdentity, number: signal.Signals) -> None:
    try:
        child.send(number)
    except PlatformOpsError:
        return  # it has another user's rights; its own owner ends it


def _children(parent: int) -> Iterator[ProcessIdentity]:
    for pid in running_pids():
        try:
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue
        identity = ProcessIdentity.of(pid) if int(fields[1]) == parent else None
        if identity:
            yield identity
