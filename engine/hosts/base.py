"""What every host offers: two ways to start a program, and a way to the database that runs there.

A host is a value that is passed on; nobody asks which kind it is. `run` has a timeout. `stream` is
read by a pipeline, whose watchdog on bytes ends it. A program's environment is the only place for a
secret: it never is in argv.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Protocol

from engine.errors import PlatformOpsError

LOST = 255
"""The exit code of a program whose connection broke: nobody knows how it ended."""


@dataclass(frozen=True, slots=True)
class Done:
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

    `stdout.read(n)` gives at most n bytes and b"" at the end; `stderr` gives lines.
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


def _no_problem() -> PlatformOpsError | None:
    return None


@dataclass(frozen=True, slots=True)
class Route:
    """How this machine reaches the database: libpq's `host`, `hostaddr`, `port` (and `sslmode` where TLS
    cannot be). `problem` tells what broke on the way when a connection was closed without a word.
    """

    parameters: Mapping[str, str]
    problem: Callable[[], PlatformOpsError | None] = field(default=_no_problem)


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

    def run(self, argv: Sequence[str], *, env: Mapping[str, str], timeout: float) -> Done:
        """Run a program to its end and keep all it writes (at most `OUTPUT_LIMIT` bytes).

        Raises:
            TransientFailure: the host cannot be reached, or the program took longer than `timeout` seconds.
            ConfigurationError: the host refuses us.
        """
        ...

    def stream(self, argv: Sequence[str], *, env: Mapping[str, str]) -> Program:
        """Start a program and return at once.

        Raises:
            TransientFailure, ConfigurationError: as `run`.
        """
        ...

    def route(self, host: str, port: int, *, trusted: bool) -> Route:
        """The way to the database that programs there reach as `host` (a name or a socket's folder).

        `trusted`: no password is configured, so the server must see the connection come from there.

        Raises:
            TransientFailure, ConfigurationError: there is none.
        """
        ...

    def end_leftovers(self, marks: Mapping[str, str]) -> int:
        """End every program there that has all of `marks` in its environment; how many there were.

        Only the holder of the lock may: what it finds then belongs to a run that is dead.
        """
        ...

    def close(self) -> None:
        """Let go of connections; the next use opens them again."""
        ...


OUTPUT_LIMIT = 256 * 2**20
"""Bytes `run` keeps: enough for the globals of any server."""
