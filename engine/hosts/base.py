"""What every host offers: two ways to start a program, one to place a file, and a way to what listens there.

A host is a value that is passed on; nobody asks which kind it is. `run` has a timeout. `stream` is read and written
by a pipeline, whose watchdog on bytes ends it. A program's environment and its input are the only places for a
secret: it never is in argv.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Protocol, runtime_checkable

from engine.hosts.endpoints import Endpoint, Tunnel

LOST = 255
"""The exit code of a program whose connection broke: nobody knows how it ended."""
OUTPUT_LIMIT = 256 * 2**20
"""Bytes `run` keeps: enough for the globals of any server."""


@dataclass(frozen=True, slots=True)
class Completed:
    """A program that has ended: its exit code (negative: the signal that ended it) and what it wrote."""

    code: int
    stdout: bytes
    stderr: str


class Lines(Protocol):
    """What a program says on stderr."""

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None: ...


class Program(Protocol):
    """A running program: the part of `subprocess.Popen` that a pipeline needs.

    `stdout.read(n)` gives at most n bytes and b"" at the end; `stderr` gives lines. `stdin` is there when it was asked
    for: closing it is the end of the input, and nothing else is. When `kill` is called, or this process dies, the
    program has ended before it sees an end. What it started itself is not watched over.
    """

    @property
    def stdin(self) -> IO[bytes] | None: ...

    @property
    def stdout(self) -> IO[bytes] | None: ...

    @property
    def stderr(self) -> Lines | None: ...

    @property
    def returncode(self) -> int | None: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def kill(self) -> None: ...


@runtime_checkable
class Readable(Protocol):
    """A file to read from."""

    def read(self, size: int, /) -> bytes: ...


Data = bytes | Readable | Iterable[bytes]
"""The contents of a file: all of them, or a stream of any size."""
Environment = Mapping[str, str | None]
"""Variables of a program. On this machine it sees ours too, elsewhere those of that host; one that is None it does not
see."""


class Host(Protocol):
    """Where client programs run. `str()` of it is for people: `this machine`, `container db`."""

    @property
    def crosses_network(self) -> bool:
        """Whether what a program writes there comes over a network: then it is compressed first."""
        ...

    @property
    def note(self) -> str:
        """What to add to a name in a message: `` in container db``; '' for this machine."""
        ...

    @property
    def image(self) -> str | None:
        """The id of the image the programs come from; None where there is none."""
        ...

    def run(self, argv: Sequence[str], *, env: Environment, timeout: float, stdin: bytes | None = None) -> Completed:
        """Run a program to its end, give it `stdin`, and keep all it writes (at most `OUTPUT_LIMIT` bytes).

        Raises:
            TransientFailure: the host cannot be reached, or the program took longer than `timeout` seconds.
            ConfigurationError: the host refuses us.
        """
        ...

    def stream(self, argv: Sequence[str], *, env: Environment, stdin: bool = False) -> Program:
        """Start a program and return at once; with `stdin` it has an input (see `Program`), else an empty one.

        Raises:
            TransientFailure, ConfigurationError: as `run`.
        """
        ...

    def put(self, path: str, data: Data, *, mode: int) -> None:
        """Place a file there: whole and of this mode, or not at all. What a killed one left in the folder is removed.

        Raises:
            OperationFailed: it cannot be written there (a TransientFailure: not at the moment).
            ConfigurationError: the path is not absolute, or the host refuses us.
        """
        ...

    def tunnel(self, endpoint: Endpoint, *, from_there: bool) -> Tunnel:
        """The way to what programs there reach as `endpoint`.

        `from_there`: what listens must see the connection come from that host itself, since it trusts only that.

        Raises:
            TransientFailure, ConfigurationError: there is none.
        """
        ...

    def end_leftovers(self, marks: Mapping[str, str], *, sparing: str = "") -> int:
        """End every program there that has all of `marks` in its environment; how many there were.

        Only the holder of the lock may: what it finds then belongs to a run that is dead. `sparing`: where this program
        is process 1, what it has inherited is left alone (see `engine.hosts.shell`).
        """
        ...

    def close(self) -> None:
        """Let go of connections; the next use opens them again."""
        ...
