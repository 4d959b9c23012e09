"""Processes and threads joined by pipes that succeed together or end together.

A pipeline has one owner. When any part fails, stalls or the owner leaves with an error, every
process is killed and waited for; the error that is raised is the cause, not a broken pipe it left.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO, Any

from engine.errors import OperationFailed, PlatformOpsError, TransientFailure, out_of
from engine.hosts.base import Program
from engine.hosts.machine import tool_environment as tool_environment
from engine.streams.memory import keep_freed_memory
from engine.streams.pack import CHUNK, READER_GONE, widen

_STDERR_LINES = 40
_GRACE_SECONDS = 2.0
_GATHER_SECONDS = 0.001
_TICK_SECONDS, _LAST_SECONDS = 0.1, 0.002
"""How often `join` looks at the clock, and at processes whose work is done and that are about to end."""
_VICTIMS = (READER_GONE, -signal.SIGPIPE)
_QUIET = ("DETAIL:", "CONTEXT:", "HINT:", "pg_dump: detail:", "pg_dump: hint:", "LINE ")
"""Lines of a tool's stderr that may repeat rows of the data; they are not shown."""


@dataclass(slots=True)
class Meter:
    """Bytes that have passed, and when the last of them did (monotonic seconds)."""

    bytes: int = 0
    last: float = field(default_factory=time.monotonic)

    def add(self, count: int) -> None:
        self.bytes += count
        self.last = time.monotonic()

    @property
    def idle_seconds(self) -> float:
        return time.monotonic() - self.last


class Process:
    """One running program with the tail of what it says on stderr.

    `popen` is a child of ours or a program on another host. `explains` are the errors its exit codes
    stand for, `failed_as` what any other failure is that no signal brought about.
    """

    def __init__(self, name: str, popen: Program) -> None:
        self.name = name
        self.popen = popen
        self.stalled: TransientFailure | None = None
        self.explains: dict[int, PlatformOpsError] = {}
        self.failed_as: type[PlatformOpsError] = TransientFailure
        self._tail: deque[str] = deque(maxlen=_STDERR_LINES)
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
                self._tail.append(line.decode("utf8", "replace").rstrip()[:500])

    def says(self) -> str:
        """The last lines of its stderr in one line, without rows of data."""
        self._reader.join(1)
        lines = [line for line in self._tail if line and not line.startswith(_QUIET)]
        return "; ".join(lines[-3:])

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

    def all_it_said(self) -> str:
        """Its stderr's last lines, whatever they are: to look something up in, not to show."""
        self._reader.join(1)
        return "\n".join(self._tail)

    def failure(self) -> PlatformOpsError:
        if self.stalled is not None:
            return self.stalled
        code = self.popen.returncode or 0
        if code in self.explains:
            return self.explains[code]
        if code < 0:  # by the kernel, which had no memory left, or by somebody
            return TransientFailure(
                f"{self.name} was ended by signal {-code}: {self.says() or 'it gave no reason'}."
            )
        return self.failed_as(f"{self.name} ended with {code}: {self.says() or 'it gave no reason'}.")


class Pipeline:
    """See the module's docstring. Use as a context manager; call `join` before leaving it."""

    def __init__(self) -> None:
        self._processes: list[Process] = []
        self._threads: dict[threading.Thread, float] = {}
        self._errors: list[BaseException] = []
        self._done: list[threading.Thread] = []
        self._silent: list[threading.Thread] = []
        self._ended = threading.Event()

    def __enter__(self) -> Pipeline:
        keep_freed_memory()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_all()

    def start(
        self,
        argv: Sequence[str],
        *,
        name: str,
        env: Mapping[str, str] | None = None,
        stdin: int | IO[bytes] = subprocess.PIPE,
        stdout: int | IO[bytes] = subprocess.PIPE,
        pass_fds: Sequence[int] = (),
    ) -> Process:
        """Start a program. `name` is what errors call it.

        Raises:
            OperationFailed: it cannot be started.
        """
        try:
            popen = subprocess.Popen(
                argv,
                env=env,
                stdin=stdin,
                stdout=stdout,
                stderr=subprocess.PIPE,
                pass_fds=pass_fds,
                bufsize=0,
            )
        except OSError as error:
            said = f"{name} cannot be started from {argv[0]}: {error.strerror}."
            raise out_of(error) or OperationFailed(said) from None
        return self.add(popen, name=name)

    def add(self, program: Program, *, name: str) -> Process:
        """Take over a program that a host has started."""
        for end in (program.stdin, program.stdout):
            if end is not None:
                with contextlib.suppress(AttributeError, ValueError):  # another host's: no file of this one
                    widen(end.fileno())
        process = Process(name, program)
        self._processes.append(process)
        return process

    def run(
        self,
        work: Callable[[], object],
        name: str,
        *,
        silent: bool = False,
        patience: float = _GRACE_SECONDS,
    ) -> None:
        """Do `work` in a thread of this pipeline; its error fails the pipeline.

        `silent`: it moves no bytes, so that none are missed when it alone is left. `patience`: how many seconds its end
        is waited for when the pipeline ends before it.
        """

        def guarded() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - raised again by join
                self._errors.append(error)
            self._done.append(threading.current_thread())
            self._ended.set()

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        self._threads[thread] = patience
        if silent:
            self._silent.append(thread)
        thread.start()

    def join(
        self,
        meter: Meter | None = None,
        stall_seconds: float = 0,
        on_tick: Callable[[], None] | None = None,
        alive: Callable[[], bool] = lambda: False,
    ) -> None:
        """Wait until all is done. Where bytes should move and none has for `stall_seconds`, it is ended.

        `alive` is asked before: whether something is at work that moves no bytes. If so, they are waited for as
        long again.

        Raises:
            PlatformOpsError: what went wrong first.
        """
        while self._busy() and not self._errors:
            self._ended.wait(_TICK_SECONDS if self._working() else _LAST_SECONDS)
            self._ended.clear()
            if meter is not None and stall_seconds and meter.idle_seconds > stall_seconds and self._moving():
                if not alive():
                    self._stalled(stall_seconds)
                meter.add(0)
            if on_tick is not None:
                on_tick()
        self._raise_first()

    def _busy(self) -> bool:
        if self._working():
            return True
        return self._running() and not self._broken()

    def _running(self) -> bool:
        running = [process for process in self._processes if process.popen.poll() is None]
        return bool(running)

    def _working(self) -> bool:
        return len(self._done) < len(self._threads)

    def _moving(self) -> bool:
        """Whether bytes are to be expected: more is at work than what is silent."""
        return self._running() or bool(set(self._threads) - set(self._silent) - set(self._done))

    def _broken(self) -> list[Process]:
        return [process for process in self._processes if process.popen.returncode not in (0, None)]

    def _culprits(self) -> list[Process]:
        """Those that did not merely end because their reader was gone."""
        return [process for process in self._broken() if not process.is_victim()]

    def _stalled(self, seconds: float) -> None:
        names = ", ".join(p.name for p in self._processes if p.popen.poll() is None) or "the store"
        raise TransientFailure(
            f"No byte has moved for {seconds:.0f} s; ended {names}. Look at locks and load."
        )

    def _raise_first(self) -> None:
        if self._errors or self._broken():  # perhaps only a reader that went away: give the cause a moment
            deadline = time.monotonic() + _GRACE_SECONDS
            while time.monotonic() < deadline and not self._cause_is_known():
                if not self._working() and not self._running():
                    break
                self._poll()
                time.sleep(0.01)
        self._poll()
        if telling := self._telling():
            raise telling[0]
        if broken := self._culprits() or self._broken():
            raise next((process for process in broken if process.explains_itself()), broken[0]).failure()
        if self._errors:
            raise OperationFailed("A stage of the stream closed too early.") from self._errors[0]

    def _cause_is_known(self) -> bool:
        """Whether nothing that ends later could say better what went wrong."""
        if self._telling():
            return True
        culprits = self._culprits()
        if any(process.explains_itself() for process in culprits):
            return True
        return bool(culprits) and not any(
            process.explains and process.popen.poll() is None for process in self._processes
        )

    def _telling(self) -> list[BaseException]:
        return [error for error in self._errors if not isinstance(error, (BrokenPipeError, ValueError))]

    def _poll(self) -> None:
        for process in self._processes:
            process.popen.poll()

    def _end_all(self) -> None:
        for process in self._processes:
            if process.popen.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    process.popen.kill()
        for process in self._processes:
            process.popen.wait()
        for thread, patience in self._threads.items():
            thread.join(patience)
        for process in self._processes:
            process.says()  # its stderr has been read to the end
            for stream in (process.popen.stdin, process.popen.stdout, process.popen.stderr):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()


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


def pump(pieces: Iterable[bytes], sinks: Sequence[IO[bytes]], meter: Meter | None = None) -> None:
    """Write each piece to every sink, then close them."""
    try:
        for piece in pieces:
            for sink in sinks:
                write_all(sink, piece)
            if meter is not None:
                meter.add(len(piece))
    finally:
        for sink in sinks:
            with contextlib.suppress(BrokenPipeError):
                sink.close()


def pass_on(source: IO[bytes], sink: IO[bytes], meter: Meter) -> None:
    """All of `source` to `sink`, without copying where both are pipes of this machine."""
    try:
        while count := os.splice(source.fileno(), sink.fileno(), CHUNK):
            meter.add(count)
            if count < CHUNK // 8:
                time.sleep(_GATHER_SECONDS)
        return
    except BrokenPipeError:
        if source.read(1):
            raise
        return  # its reader had all of it and left before this end did
    except (OSError, AttributeError, ValueError):
        pass  # no two pipes: nothing was taken from `source`
    for piece in pieces_of(source):
        write_all(sink, piece)
        meter.add(len(piece))


def write_all(sink: IO[bytes], data: bytes) -> None:
    """Write all of `data` to an unbuffered pipe (one write may take only part of it)."""
    view = memoryview(data)
    while view:
        view = view[sink.write(view) :]


def pieces_of(source: Any, size: int = CHUNK) -> Iterable[bytes]:
    """The rest of `source` in pieces of at most `size` bytes.

    pg_dump writes 4 KiB at a time and a small piece costs as much work as a large one: after a small
    one its writer is given a moment to gather more.
    """
    while piece := source.read(size):
        yield piece
        if len(piece) < size // 8:
            time.sleep(_GATHER_SECONDS)
