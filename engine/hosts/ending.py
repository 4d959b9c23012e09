"""A signal ends a run in order: what it started ends, what is half-written goes.

The main thread may be waiting for threads that each wait for a program (pg_dump, psql, a scratch
server). So the programs are ended, their threads fail and clean up behind themselves, and the main
thread's own `with` and `finally` blocks do the rest. A pipeline without a program asks `is_ending`.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.errors import PlatformOpsError
from engine.hosts.processes import ProcessIdentity, running_pids

_PATIENCE_SECONDS = 5.0
_POLL_SECONDS = 0.1
_ending = threading.Event()
_sparing = threading.Event()


@contextmanager
def children_spared() -> Iterator[None]:
    """While the block runs, a signal ends no child: taking back what was begun needs programs of its own."""
    _sparing.set()
    try:
        yield
    finally:
        _sparing.clear()


def is_ending() -> bool:
    """Whether a signal asked this process to end: nothing is to be tried again."""
    return _ending.is_set()


@contextmanager
def ended_in_order(signals: Collection[signal.Signals]) -> Iterator[None]:
    """While the block runs, the first of the signals ends the child processes; its handler, which is the caller's, raises
    what unwinds the main thread. Only the main thread may ask for it.

    Python tells of a signal through a pipe, to a thread that waits from the beginning: the handler of Prefect stays as
    it is (else it takes no order to cancel), and the main thread may hold a lock that a thread's start needs.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    over = threading.Event()
    threading.Thread(target=_watch, args=(reader, frozenset(signals), over), name="end children", daemon=True).start()
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        over.set()
        os.close(writer)
        _ending.clear()


def _watch(reader: int, signals: frozenset[int], over: threading.Event) -> None:
    with os.fdopen(reader, "rb", buffering=0) as pipe:
        while numbers := pipe.read(64):
            if not signals.isdisjoint(numbers):
                _ending.set()
                _end_children(over)
                return


def _end_children(over: threading.Event) -> None:
    """End every child, also those that threads go on to start, until all is unwound."""
    since: dict[ProcessIdentity, float] = {}
    me = ProcessIdentity.current().pid
    while not over.is_set():
        now = time.monotonic()
        for child in () if _sparing.is_set() else _children(me):
            if child not in since:
                since[child] = now
                _send(child, signal.SIGINT)  # PostgreSQL's programs cancel and end; a server ends its sessions
            elif now - since[child] > _PATIENCE_SECONDS:
                _send(child, signal.SIGKILL)
        over.wait(_POLL_SECONDS)


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
