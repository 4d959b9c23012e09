"""The logs of several pods at once, line by line as they come."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress

from engine.errors import NotFound
from engine.kubernetes.connection import Connection
from engine.kubernetes.errors import Invalid

_WAITING = 10_000
"""So many lines wait for whoever reads them; then the pods' streams do."""
LineQueue = queue.Queue[str | None]


def followed(connection: Connection, pods: Sequence[str], lines: int, seconds: float | None) -> Iterator[str]:
    """The last lines of each and what follows, for so long; None: until all have ended, or whoever reads them goes."""
    incoming, ended = LineQueue(_WAITING), threading.Event()
    deadline = None if seconds is None else time.monotonic() + seconds
    with ExitStack() as opened:
        opened.callback(ended.set)
        going = 0
        for pod in pods:
            try:
                stream = opened.enter_context(connection.following(pod, lines=lines))
            except (NotFound, Invalid) as error:  # one that has not begun yet has none
                yield str(error)
                continue
            args = (pod, stream, incoming, len(pods) > 1, ended)
            threading.Thread(target=_listen, args=args, name=f"log {pod}", daemon=True).start()
            going += 1
        while going and (left := 1.0 if deadline is None else deadline - time.monotonic()) > 0:
            with suppress(queue.Empty):
                line = incoming.get(timeout=min(left, 1.0))
                if line is None:
                    going -= 1
                else:
                    yield line


def with_pod(pod: str, line: str, many: bool) -> str:
    """A line, told from those of other pods where there are many."""
    return f"{pod} | {line}" if many else line


def _listen(pod: str, stream: Iterator[str], incoming: LineQueue, many: bool, ended: threading.Event) -> None:
    try:
        for line in stream:
            _hand_over(with_pod(pod, line, many), incoming, ended)
    except Exception as error:  # noqa: BLE001 - where nobody listens any more, the stream was closed under it
        _hand_over(f"The log of {pod} was cut off ({type(error).__name__}).", incoming, ended)
    finally:
        _hand_over(None, incoming, ended)


def _hand_over(line: str | None, incoming: LineQueue, ended: threading.Event) -> None:
    while not ended.is_set():
        with suppress(queue.Full):
            incoming.put(line, timeout=1.0)
            return
