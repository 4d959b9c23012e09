"""Where something listens, and how this machine gets there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from engine.errors import PlatformOpsError


@dataclass(frozen=True, slots=True)
class Tcp:
    """A port of an address or a name."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Unix:
    """A Unix socket, by its path."""

    path: str

    def __str__(self) -> str:
        return self.path


Endpoint = Tcp | Unix


def _no_problem() -> PlatformOpsError | None:
    return None


@dataclass(frozen=True, slots=True)
class Tunnel:
    """How this machine reaches what listens on a host: connect to `at`.

    `forwarded`: what listens there is a port of ours, and passes on. `problem` tells what broke on the way when a
    connection was closed without a word.
    """

    at: Endpoint
    forwarded: bool = False
    problem: Callable[[], PlatformOpsError | None] = field(default=_no_problem)
