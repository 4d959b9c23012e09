"""A lock that one process of a host holds, whoever runs it and wherever its temporary files are.

It is an abstract name of a Unix socket (unix(7)): it needs no folder and no right, and the kernel frees it with its
process, also after kill -9. Programs the holder starts do not inherit it. A host is here what shares a network
namespace: a container has one of its own and so a lock of its own, unless it was started with the host's network.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_PAUSE_SECONDS = 0.5


@contextmanager
def holding_host(name: str, waits: Callable[[], None]) -> Iterator[None]:
    """Hold this host's lock `name`, and wait for whoever has it; `waits` is called once where that is so."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as held:
        if not _bound(held, name):
            waits()
            while not _bound(held, name):
                time.sleep(_PAUSE_SECONDS)
        yield


def _bound(held: socket.socket, name: str) -> bool:
    try:
        held.bind(f"\0{name}")
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return False
    return True
