"""Which process is it: a pid is used again sooner or later, a pid with its start time is not."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.errors import OperationFailed

_PROC = Path("/proc")
_POLL_SECONDS = 0.02
_KILL_SECONDS = 5.0
ENDED = -1
"""A start that no process has."""


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process for certain: `pid`, and `started` in clock ticks since the machine's start."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity | None:
        """The process that has this pid now; None when there is none, or only its zombie."""
        started = start_of(pid)
        return None if started is None or started == ENDED else cls(pid, started)

    @classmethod
    def current(cls) -> ProcessIdentity:
        """This very process."""
        found = cls.of(os.getpid())
        if found is None:
            raise OperationFailed("/proc cannot be read on this host; platform-ops needs Linux with /proc.")
        return found

    def alive(self) -> bool:
        """Whether it still runs (a zombie does not)."""
        return ProcessIdentity.of(self.pid) == self

    def send(self, number: signal.Signals) -> bool:
        """Send a signal to this process and to no other; False when it is gone.

        Raises:
            OperationFailed: it belongs to another user.
        """
        if not self.alive():
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        except PermissionError:
            raise OperationFailed(
                f"Process {self.pid} belongs to another user and was not ended; end it as that user or as root."
            ) from None
        return True

    def wait(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds for its end; whether it ended."""
        deadline = time.monotonic() + timeout
        while self.alive():
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True

    def end(self, timeout: float = 10.0, first: signal.Signals = signal.SIGTERM) -> bool:
        """Ask it to end with `first`, wait `timeout` seconds, then SIGKILL; whether it was running.

        Raises:
            OperationFailed: it belongs to another user, or not even SIGKILL ended it.
        """
        if not self.send(first):
            return False
        if not self.wait(timeout) and self.send(signal.SIGKILL) and not self.wait(_KILL_SECONDS):
            raise OperationFailed(f"Process {self.pid} did not end on SIGKILL; look at what it waits for.")
        return True


def start_of(pid: int) -> int | None:
    """When the process started, in clock ticks since the machine's start; `ENDED` when only its zombie is left.

    None when there is none, or nobody may see it.
    """
    try:
        stat = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    # The second field is the program's name in brackets, which may hold spaces and brackets.
    fields = stat.rpartition(b")")[2].split()
    return ENDED if fields[0] in (b"Z", b"X") else int(fields[19])


def arguments(pid: int) -> tuple[str, ...]:
    """The command line of a process; empty when it is gone, a zombie or has changed its title."""
    try:
        line = (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return ()
    return tuple(os.fsdecode(part) for part in line.rstrip(b"\0").split(b"\0")) if line else ()


def running_pids() -> Iterator[int]:
    """The pids of all processes this user may see."""
    return (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())
