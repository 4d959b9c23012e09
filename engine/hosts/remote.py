"""A program at the far end of a channel, looking like one of ours."""

from __future__ import annotations

import io
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Protocol, cast

from engine.errors import OperationFailed, TransientFailure
from engine.hosts.base import LOST, OUTPUT_LIMIT, Done
from engine.hosts.shell import environment_block, lifeline_argv

_POLL_SECONDS = 0.02
_CHUNK = 1 << 20
_ENVIRONMENT = {"LC_ALL": "C.UTF-8"}


class ExecChannel(Protocol):
    """One started command: its streams and its exit code."""

    def recv(self, size: int) -> bytes:
        """At most `size` bytes of its stdout; b"" at the end, also when the connection breaks."""
        ...

    def send(self, data: bytes) -> None: ...

    def stderr_lines(self) -> Iterator[bytes]:
        """Its stderr, to the end."""
        ...

    def exit_code(self) -> int | None:
        """None while it is not known; `LOST` when it never will be."""
        ...

    def connected(self) -> bool:
        """Whether the host is still there."""
        ...

    def close(self) -> None: ...


class Launcher(Protocol):
    """What opens a channel: a host."""

    def launch(self, argv: Sequence[str]) -> ExecChannel: ...


class _Stdout(io.RawIOBase):
    def __init__(self, channel: ExecChannel) -> None:
        self._channel = channel

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        return self._channel.recv(size if size >= 0 else _CHUNK)

    def close(self) -> None:
        self._channel.close()
        super().close()


@dataclass(frozen=True, slots=True)
class _Stderr:
    said: Callable[[], Iterator[bytes]]

    def __iter__(self) -> Iterator[bytes]:
        return self.said()

    def close(self) -> None:
        """It ends with its channel."""


class RemoteProgram:
    """See `engine.hosts.base.Program`. It ends when its channel is closed, also by our death."""

    stdin = None

    def __init__(self, channel: ExecChannel, where: str) -> None:
        self._channel = channel
        self._where = where
        self.stdout: IO[bytes] = cast(IO[bytes], _Stdout(channel))
        self.returncode: int | None = None

    @property
    def stderr(self) -> _Stderr:
        return _Stderr(self._said)

    def _said(self) -> Iterator[bytes]:
        yield from self._channel.stderr_lines()
        if self.poll() == LOST:
            ended = "a signal ended it" if self._channel.connected() else "the connection was lost"
            yield f"{ended} ({self._where})".encode()

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
        self._channel.close()


def start(host: Launcher, argv: Sequence[str], env: Mapping[str, str]) -> RemoteProgram:
    """Start a program there with `env` (and nothing else of ours)."""
    block = environment_block({**_ENVIRONMENT, **env})
    channel = host.launch(lifeline_argv(argv))
    try:
        channel.send(block)
    except OSError:
        channel.close()
        raise TransientFailure(f"The connection to {host} was lost; try again.") from None
    return RemoteProgram(channel, str(host))


def finish(program: RemoteProgram, what: str, timeout: float) -> Done:
    """Read it to its end.

    Raises:
        TransientFailure: it took longer than `timeout` seconds.
        OperationFailed: it wrote more than can be meant.
    """
    ran_out = threading.Event()

    def give_up() -> None:
        ran_out.set()
        program.kill()

    timer = threading.Timer(timeout, give_up)
    timer.daemon = True
    said: list[bytes] = []
    listener = threading.Thread(target=lambda: said.extend(program.stderr), daemon=True)
    timer.start()
    listener.start()
    try:
        output = _all_of(program, what)
        code = program.wait()
        listener.join(5)
    finally:
        timer.cancel()
        program.kill()
    if ran_out.is_set():
        raise TransientFailure(
            f"{what} took longer than {timeout:.0f} s and was ended; look at locks and load."
        )
    text = b"".join(line if line.endswith(b"\n") else line + b"\n" for line in said)
    return Done(code, output, text.decode("utf8", "replace"))


def _all_of(program: RemoteProgram, what: str) -> bytes:
    output = bytearray()
    while piece := program.stdout.read(_CHUNK):
        output += piece
        if len(output) > OUTPUT_LIMIT:
            raise OperationFailed(f"{what} wrote more than {OUTPUT_LIMIT >> 20} MiB; look at what it is.")
    return bytes(output)
