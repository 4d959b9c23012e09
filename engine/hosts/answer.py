"""What a program answers that is talked to: a line at a time, and none that is waited for without an end."""

from __future__ import annotations

import threading

from engine.hosts.base import Program

ANSWER_SECONDS = 300.0


def answer_of(program: Program, seconds: float = ANSWER_SECONDS) -> bytes:
    """The next line that it writes. One that has not all come in so many seconds ends the program, as a line without its
    end does."""
    assert program.stdout is not None  # noqa: S101 - it was asked for
    timer = threading.Timer(seconds, program.kill)
    timer.daemon = True
    timer.start()
    line = b""
    try:
        while not line.endswith(b"\n") and (piece := program.stdout.read(1)):
            line += piece
    finally:
        timer.cancel()
    return line
