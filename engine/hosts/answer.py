"""What a program answers that is talked to: a line at a time, and none that is waited for without an end."""

from __future__ import annotations

from engine.errors import TransientFailure
from engine.hosts.base import Program
from engine.hosts.time_limit import ended_after

ANSWER_SECONDS = 300.0


def answer_of(program: Program, seconds: float = ANSWER_SECONDS) -> bytes:
    """The next line that it writes; one without its end where the program ends before.

    Raises:
        TransientFailure: it has not all come in so many seconds; the program was ended.
    """
    assert program.stdout is not None  # noqa: S101 - it was asked for
    line = b""
    with ended_after(seconds, program) as late:
        while not line.endswith(b"\n") and (piece := program.stdout.read(1)):
            line += piece
    if late.is_set() and not line.endswith(b"\n"):
        raise TransientFailure(
            f"A container gave no answer within {seconds:.0f} s and was ended; look at its engine's load."
        )
    return line
