"""Processes and threads joined by pipes that succeed together or end together.

A pipeline has one owner. When any part fails, stalls or the owner leaves with an error, every
process is killed and waited for; the error that is raised is the cause, not a broken pipe it left.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import IO

from engine.errors import OperationFailed, TransientFailure, out_of
from engine.hosts.base import Program
from engine.hosts.ending import is_ending
from engine.streams.blame import Blame
from engine.streams.memory import keep_freed_memory
from engine.streams.pack import widen
from engine.streams.pipes import Meter
from engine.streams.process import Process

_GRACE_SECONDS = 2.0
_TICK_SECONDS, _LAST_SECONDS = 0.1, 0.002
"""How often `join` looks at the clock, and at processes whose work is done and that are about to end."""


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
        """Start a program of this machine, joined to others by pipes; a host's is taken over by `add`.

        `name` is what errors call it.

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
            why = f"{name} cannot be started from {argv[0]}: {error.strerror}."
            raise out_of(error) or OperationFailed(why) from None
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
            if is_ending():
                raise OperationFailed("It was ended while bytes were on their way; nothing half-written was kept.")
            self._ended.wait(_TICK_SECONDS if self._working() else _LAST_SECONDS)
            self._ended.clear()
            if meter is not None and stall_seconds and meter.idle_seconds > stall_seconds and self._moving():
                if not alive():
                    self._stalled(stall_seconds)
                meter.add(0)
            if on_tick is not None:
                on_tick()
        self._raise_first()

    def raise_failure(self, seconds: float = _GRACE_SECONDS) -> None:
        """What went wrong, if anything has or does so within `seconds`: for one who found that not all has come.

        Raises:
            PlatformOpsError: what went wrong first.
        """
        deadline = time.monotonic() + seconds
        while not self._errors and self._busy() and time.monotonic() < deadline:
            self._ended.wait(_TICK_SECONDS)
        self._raise_first()

    def _busy(self) -> bool:
        if self._working():
            return True
        return self._running() and not Blame(self._processes, self._errors).broken()

    def _running(self) -> bool:
        running = [process for process in self._processes if process.popen.poll() is None]
        return bool(running)

    def _working(self) -> bool:
        return len(self._done) < len(self._threads)

    def _moving(self) -> bool:
        """Whether bytes are to be expected: more is at work than what is silent."""
        return self._running() or bool(set(self._threads) - set(self._silent) - set(self._done))

    def _stalled(self, seconds: float) -> None:
        names = ", ".join(p.name for p in self._processes if p.popen.poll() is None) or "the store"
        raise TransientFailure(f"No byte has moved for {seconds:.0f} s; ended {names}. Look at locks and load.")

    def _raise_first(self) -> None:
        blame = Blame(self._processes, self._errors)
        if blame.is_due():  # perhaps only a reader that went away: give the cause a moment
            deadline = time.monotonic() + _GRACE_SECONDS
            while time.monotonic() < deadline and not blame.is_known():
                if not self._working() and not self._running():
                    break
                self._poll()
                time.sleep(0.01)
        self._poll()
        blame.raise_first()

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
