"""A lock on a folder: it tells that the owner lives, also in another container, where a pid says nothing.

The kernel frees it with the owner's last descriptor. Programs the owner starts do not inherit that; only between
fork and exec does one hold it for a moment.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

_PAUSE_SECONDS = 0.5


def lock_folder(folder: Path) -> int:
    """A descriptor that holds the folder's lock until it is closed; -1 when another process holds it.

    Where the file system knows no locks, nobody ever holds it. Raises OSError when the folder cannot be opened.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return -1
    except OSError:
        return descriptor
    return descriptor


@contextmanager
def holding_folder(folder: Path, waits: Callable[[], None]) -> Iterator[None]:
    """Hold a folder's lock, and wait for whoever has it; `waits` is called once where that is so.

    Of a folder that cannot be opened there is no lock: who needs the folder tells what is wrong with it.
    """
    with ExitStack() as stack:
        with suppress(OSError):
            descriptor = lock_folder(folder)
            if descriptor < 0:
                waits()
            while descriptor < 0:
                time.sleep(_PAUSE_SECONDS)
                descriptor = lock_folder(folder)
            stack.callback(os.close, descriptor)
        yield
