"""What an engine or an SSH connection gives for one started command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

CHUNK = 1 << 20


class ExecChannel(Protocol):
    """One started command: its streams and its exit code."""

    def recv(self, size: int) -> bytes:
        """At most `size` bytes of its stdout; b"" at the end, also when the connection breaks."""
        ...

    def send(self, data: bytes) -> None:
        """All of `data` to its stdin; it waits where nobody takes it. Raises OSError when it cannot be sent."""
        ...

    def end_stdin(self) -> None:
        """Raises OSError when that cannot be said."""
        ...

    def stderr_lines(self) -> Iterator[bytes]:
        """Its stderr, to the end."""
        ...

    def exit_code(self) -> int | None:
        """None while it is not known; `LOST` when it never will be."""
        ...

    def final_code(self) -> int:
        """Wait for its end, whether or not it can write all it has to say; its exit code."""
        ...

    def connected(self) -> bool:
        """Whether the host is still there."""
        ...

    def close(self) -> None:
        """Wakes whoever waits in `recv` or `send`."""
        ...


class Launcher(Protocol):
    """What opens a channel: a host."""

    @property
    def note(self) -> str: ...

    def launch(self, argv: Sequence[str]) -> ExecChannel: ...
