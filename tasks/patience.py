"""Ask the Prefect server, and wait for one that is away: what a run has done is worth more than a minute."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import httpx

_Answer = TypeVar("_Answer")
_PATIENCE_SECONDS = 600.0
_PAUSE_SECONDS = 2.0


def patient(ask: Callable[[], _Answer]) -> _Answer:
    """What `ask` gives once the server answers.

    Prefect's own clients wait too, but not one that is new: it gives up at the first refused connection.

    Raises:
        httpx.TransportError: it was away for ten minutes.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return ask()
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)
