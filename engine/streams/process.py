"""One running program of a pipeline, and what its end means."""

from __future__ import annotations

import signal
import threading
from dataclasses import dataclass
from typing import IO

from engine.errors import PlatformOpsError, TransientFailure
from engine.hosts.base import Program
from engine.streams.pack import READER_GONE
from engine.streams.stderr import StderrSummary

_VICTIMS = (READER_GONE, -signal.SIGPIPE)


class Process:
    """One running program with what it says on stderr.

    `popen` is a child of ours or a program on another host. `explains` are the errors its exit codes
    stand for, `failed_as` what any other failure is that no signal brought about.
    """

    def __init__(self, name: str, popen: Program) -> None:
        self.name = name
        self.popen = popen
        self.stalled: TransientFailure | None = None
        self.explains: dict[int, PlatformOpsError] = {}
        self.failed_as: type[PlatformOpsError] = TransientFailure
        self._stderr = StderrSummary()
        self._reader = threading.Thread(target=self._collect, daemon=True)
        self._reader.start()

    @property
    def stdin(self) -> IO[bytes]:
        assert self.popen.stdin is not None  # noqa: S101 - asked for with PIPE
        return self.popen.stdin

    @property
    def stdout(self) -> IO[bytes]:
        assert self.popen.stdout is not None  # noqa: S101 - asked for with PIPE
        return self.popen.stdout

    def _collect(self) -> None:
        if self.popen.stderr is not None:
            for line in self.popen.stderr:
                self._stderr.add(line.decode("utf8", "replace"))

    def says(self) -> str:
        """What it said of its end in one line, without rows of data."""
        self._reader.join(1)
        return self._stderr.text()

    def end_stalled(self, seconds: float) -> None:
        """End it because nothing has come from it for so long."""
        self.stalled = TransientFailure(
            f"{self.name} gave no byte for {seconds:.0f} s and was ended; look at locks and load."
        )
        self.popen.kill()

    def is_victim(self) -> bool:
        """Whether it ended because what reads from it did."""
        return self.popen.returncode in _VICTIMS or "Broken pipe" in self.says()

    def explains_itself(self) -> bool:
        """Whether its exit code tells what went wrong, and not only that something did."""
        return self.stalled is not None or self.popen.returncode in self.explains

    def whole_stderr(self) -> str:
        """Its warnings and errors: to look something up in, not to show."""
        self._reader.join(1)
        return self._stderr.loud()

    def failure(self) -> PlatformOpsError:
        if self.stalled is not None:
            return self.stalled
        code = self.popen.returncode or 0
        if code in self.explains:
            return self.explains[code]
        if code < 0:  # by the kernel, which had no memory left, or by somebody
            return TransientFailure(f"{self.name} was ended by signal {-code}: {self.says() or 'it gave no reason'}.")
        return self.failed_as(f"{self.name} ended with {code}: {self.says() or 'it gave no reason'}.")


@dataclass(frozen=True, slots=True)
class Patient:
    """The stdout of a process, for a reader outside `join`: a read that gets no byte for `seconds` ends it."""

    process: Process
    seconds: float

    def read(self, size: int) -> bytes:
        timer = threading.Timer(self.seconds, self.process.end_stalled, (self.seconds,))
        timer.daemon = True
        timer.start()
        try:
            return self.process.stdout.read(size)
        finally:
            timer.cancel()
