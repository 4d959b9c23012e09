"""The single steps of reading and writing one file of a folder store."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from engine.errors import ConfigurationError
from engine.stores.folder_tree import make_folders, open_folder

_FILE_MODE = 0o600
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
Failing = Callable[[], AbstractContextManager[None]]
_WRITTEN = 1 << 18
"""Bytes at once: a MiB at once takes two to five times as long (ext4 of Linux 6.18, 2 GB: 0.7 s, 1.8 to 3.7 s)."""
_ATTEMPTS = 5  # how often a folder may be removed by another's delete between making and using it


class FileWriter:
    """Writes straight to the part file; the caller's chunks are large."""

    def __init__(self, descriptor: int, failing: Failing) -> None:
        self._descriptor = descriptor
        self._failing = failing

    def write(self, data: bytes, /) -> int:
        with self._failing():
            write_all(self._descriptor, data)
        return len(data)


class FileReader:
    """Reads straight from the file; the caller's chunks are large."""

    def __init__(self, descriptor: int, failing: Failing) -> None:
        self._descriptor = descriptor
        self._failing = failing

    def read(self, size: int, /) -> bytes:
        with self._failing():
            return os.read(self._descriptor, size)


def forget_pages(descriptor: int) -> None:
    """Let the kernel drop what it holds of a file, so that the next read asks the disk. What cannot is as it was."""
    with suppress(OSError, AttributeError):  # not every system and file system knows it
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def begin_part(root: Path, segments: Sequence[str], part: str) -> tuple[int, int]:
    for attempt in range(_ATTEMPTS):
        try:
            make_folders(root, segments)
            folder = open_folder(root, segments)
        except FileNotFoundError:
            if attempt == _ATTEMPTS - 1 or not root.is_dir():
                raise
            continue
        try:
            return folder, os.open(part, _NEW, _FILE_MODE, dir_fd=folder)
        except OSError as error:
            os.close(folder)
            if attempt == _ATTEMPTS - 1 or not isinstance(error, FileNotFoundError):
                raise
    raise AssertionError("the last attempt returns or raises")


def status_of(path: str) -> os.stat_result | None:
    try:
        return os.stat(path, follow_symlinks=False)  # noqa: PTH116
    except FileNotFoundError:  # deleted since it was listed
        return None


def write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest[:_WRITTEN]) :]


def link_new(folder: int, part: str, final: str, descriptor: int) -> bool:
    """Give the part file its final name unless that is taken: link(2) is atomic, also over NFS."""
    try:
        os.link(part, final, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        # A file server that repeats a request whose answer was lost reports the name as taken.
        return os.fstat(descriptor).st_nlink > 1
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
            raise ConfigurationError(
                "The store's file system has no hard links, without which nothing is created only once; "
                "put the store on one that has (ext4, xfs, NFS)."
            ) from None
        raise
    return True
