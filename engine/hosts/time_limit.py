"""A program that takes too long is ended, so that whoever reads from it sees its end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from engine.hosts.base import Program


@contextmanager
def ended_after(seconds: float, program: Program) -> Iterator[threading.Event]:
    """While the block runs; the event says whether it was ended for that."""
    ran_out = threading.Event()

    def give_up() -> None:
        ran_out.set()
        program.kill()

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield ran_out
    finally:
        timer.cancel()
