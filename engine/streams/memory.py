"""Memory that a stream frees stays with the process, for the stream's next piece."""

from __future__ import annotations

import contextlib
import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 16 * 2**20


def keep_freed_memory() -> None:
    """Let glibc's malloc keep what is freed, as far as a stream needs it.

    By default (mallopt(3)) it gives a piece of 1 MiB back to the kernel when it is freed, and asks for
    the next one at once: the kernel clears 256 pages each time, which took a third of an unpacking
    process's time. Other C libraries are left as they are.
    """
    with contextlib.suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None)
        for threshold in (_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD):
            libc.mallopt(threshold, _KEPT_BYTES)
