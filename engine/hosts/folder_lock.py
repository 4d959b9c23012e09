"""A lock on a folder: it tells that the owner lives, also in another container, where a pid says nothing.

The kernel frees it with the owner's last descriptor. Programs the owner starts do not inherit that; only between
fork and exec does one hold it for a moment.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


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
