"""A program at the far end of a channel, looking like one of ours."""

from __future__ import annotations

import contextlib
import io
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, cast

from engine.errors import OperationFailed, PlatformOpsError, TransientFailure
from engine.hosts.base import LOST, Environment
from engine.hosts.channel import CHUNK, ExecChannel, Launcher
from engine.hosts.lifeline import END, environment_block, feed_argv, lifeline_argv
from engine.hosts.remote_input import Ends, RemoteInput

_POLL_SECONDS = 0.02
_ANSWER_SECONDS = 60.0
_ENVIRONMENT = {"LC_ALL": "C.UTF-8"}


class _Stdout(io.RawIOBase):
    def __init__(self, channel: ExecChannel) -> None:
        self._channel = channel

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        return self._channel.recv(size if size >= 0 else CHUNK)

    def close(self) -> None:
        self._channel.close()
        super().close()


@dataclass(frozen=True, slots=True)
class _Stderr:
    lines: Callable[[], Iterator[bytes]]

    def __iter__(self) -> Iterator[bytes]:
        return self.lines()

    def close(self) -> None:
        """It ends with its channel."""


class RemoteProgram:
    """See `engine.hosts.base.Program`. It ends when its channel is closed, also by our death."""

    def __init__(self, channel: ExecChannel, where: str) -> None:
        self._channel = channel
        self._where = where
        self._input: RemoteInput | None = None
        self._input_broke = False
        self.stdout: IO[bytes] = cast(IO[bytes], _Stdout(channel))
        self.returncode: int | None = None

    @property
    def stdin(self) -> IO[bytes] | None:
        return cast("IO[bytes] | None", self._input)

    @property
    def stderr(self) -> _Stderr:
        return _Stderr(self._stderr_lines)

    def feed_by(self, feed: ExecChannel) -> None:
        """Its input goes by this channel."""
        self._input = RemoteInput(feed, Ends(self._end_input, self._lose, self.kill))

    def _end_input(self) -> None:
        with contextlib.suppress(OSError):  # then it has ended, or its own exit code tells that it is lost
            self._channel.send(END)

    def _lose(self) -> None:
        if self.poll() is None:
            self._input_broke = True
            self.returncode = LOST
            self._channel.close()

    def _stderr_lines(self) -> Iterator[bytes]:
        yield from self._channel.stderr_lines()
        if self.poll() == LOST:
            signalled = self._channel.connected() and not self._input_broke
            yield f"{'a signal ended it' if signalled else 'the connection was lost'} ({self._where})".encode()

    def poll(self) -> int | None:
        if self.returncode is None:
            code = self._channel.exit_code()
            if code is not None and self.returncode is None:
                # A shell says 128 + n of a program that a signal ended.
                self.returncode = 128 - code if 128 < code < LOST else code
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired(self._where, timeout or 0)
            time.sleep(_POLL_SECONDS)
        return code

    def kill(self) -> None:
        """End it: with the channel its stdin closes, and the far side's shell ends the program."""
        if self.returncode is None:
            self.returncode = -9
        self._channel.close()  # first, so that the program is on its way out when its input breaks off
        if self._input is not None:
            self._input.cut()


def start(host: Launcher, argv: Sequence[str], env: Environment, *, stdin: bool = False) -> RemoteProgram:
    """Start a program there with `env` (and nothing else of ours).

    Raises:
        TransientFailure: the connection was lost.
        OperationFailed: the host cannot give a program its input.
    """
    block = environment_block({**_ENVIRONMENT, **env})
    channel = host.launch(lifeline_argv(argv, stdin=stdin))
    program = RemoteProgram(channel, str(host))
    try:
        channel.send(block)
        if stdin:
            program.feed_by(host.launch(feed_argv(*_pipe_of(channel, f"{argv[0]}{host.note}"))))
    except OSError:
        program.kill()
        raise TransientFailure(f"The connection to {host} was lost; try again.") from None
    except PlatformOpsError:
        program.kill()
        raise
    return program


def _pipe_of(channel: ExecChannel, what: str) -> tuple[str, str]:
    """What the far side says before anything of the program: its watcher, and the pipe that is its input."""
    timer = threading.Timer(_ANSWER_SECONDS, channel.close)
    timer.daemon = True
    timer.start()
    line = b""
    try:
        while (byte := channel.recv(1)) not in (b"", b"\n"):
            line += byte
    finally:
        timer.cancel()
    watcher, _, pipe = line.decode("ascii", "replace").partition(" ")
    if byte and watcher.isdigit() and pipe:
        return watcher, pipe
    code = channel.final_code()
    lines = b" ".join(channel.stderr_lines()).decode("utf8", "replace")[-200:]
    if code == LOST:
        raise TransientFailure(f"{what} did not start: {lines or 'the connection was lost'}; try again.")
    raise OperationFailed(
        f"{what} cannot be given an input: {lines or f'sh ended with {code}'}; it needs sh and /proc."
    )
