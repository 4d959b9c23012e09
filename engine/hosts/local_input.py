"""A program of this machine with an input that has an end only when we say so, and not when we are killed.

A pipe alone does not tell the two apart. So the program is started as on any host (see `engine.hosts.lifeline`), by
an argv of its own; only its bytes go straight into the pipe.
"""

from __future__ import annotations

import io
import os
import select
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

from engine.errors import OperationFailed
from engine.hosts.base import Program
from engine.hosts.lifeline import END_AND_LEAVE, environment_block, lifeline_argv

_LOOK_MILLISECONDS = 100


class LocalInput(io.FileIO):
    """Closing it says that the input is whole. `abandon` breaks it off: the program is ended."""

    def __init__(self, descriptor: int, control: IO[bytes]) -> None:
        super().__init__(descriptor, "wb")
        self._control = control
        self._unwanted = False

    def write(self, data: Any, /) -> int:
        """All of `data`; it waits where nobody takes it. Raises BrokenPipeError when nobody will."""
        view = memoryview(data).cast("B")
        size = len(view)
        waiting = select.poll()
        waiting.register(self.fileno(), select.POLLOUT)
        try:
            while view and not self._unwanted:
                view = view[super().write(view) or 0 :]
                if view:
                    waiting.poll(_LOOK_MILLISECONDS)
        except BrokenPipeError:
            self._unwanted = True
        if self._unwanted:
            raise BrokenPipeError("the program does not take its input")
        return size

    def cut(self) -> None:
        """The program has been killed; what it has started may still hold its end of the pipe."""
        self._unwanted = True

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._let_go(END_AND_LEAVE)

    def abandon(self) -> None:
        """The program is ended, and sees no end before; one that reads no more goes on."""
        if not self.closed:
            super().close()
            self._let_go(END_AND_LEAVE if self._unwanted else b"")

    def _let_go(self, word: bytes) -> None:
        """With its last word the watcher ends: whose input is whole goes on like any program of this machine."""
        try:
            self._control.write(word)
        except OSError:
            pass  # it has ended
        finally:
            self._control.close()

    def __del__(self) -> None:
        self.abandon()  # one that is only forgotten is not whole


class _Program(subprocess.Popen[bytes]):
    def kill(self) -> None:
        super().kill()
        if isinstance(self.stdin, LocalInput):
            self.stdin.cut()


def start_with_input(argv: Sequence[str], ours: Mapping[str, str], own: Mapping[str, str]) -> Program:
    """Start it; `own` are the variables it alone sees, not what watches over it.

    Raises:
        OSError: it cannot be started.
        OperationFailed: there is no /proc.
    """
    environment = {**ours, **own}
    _check(argv[0], environment.get("PATH"))
    lines = {name: value for name, value in own.items() if "\n" not in value}
    popen = _Program(
        lifeline_argv(argv, stdin=True),
        env={name: value for name, value in environment.items() if name not in lines},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    assert popen.stdin is not None and popen.stdout is not None  # noqa: S101 - asked for
    popen.stdin.write(environment_block(lines))
    watcher, _, pipe = popen.stdout.readline().decode().strip().partition(" ")
    place = f"/proc/{watcher}/fd/5"
    if not pipe or str(Path(place).readlink()) != pipe:
        popen.kill()
        raise OperationFailed(f"{argv[0]} cannot be given an input on this machine; it needs sh and /proc.")
    descriptor = os.open(place, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    popen.stdin = cast("IO[bytes]", LocalInput(descriptor, popen.stdin))
    return popen


def _check(program: str, path: str | None) -> None:
    """The shell would tell a missing program by an exit code alone."""
    if shutil.which(program, path=path) is None:
        number = 13 if Path(program).exists() else 2
        raise OSError(number, os.strerror(number))
