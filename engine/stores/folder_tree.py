"""Walking a store's folder without leaving it: no symbolic link below the root is ever followed.

A folder is opened segment by segment relative to the one above, so that nobody can swap a link in
between the look and the use.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path

from engine.stores.base import SEGMENT, Mark, StoredFolder, no_mark

FOLDER_MODE = 0o700
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_SYSTEMS_OWN = "lost+found"
"""At the root of a mounted disk; not readable by us and never ours."""


def open_folder(root: Path, segments: Sequence[str]) -> int:
    """A descriptor of `root/<segments>`, to be closed. Raises OSError when one is missing or a link."""
    # The root itself may be a link: that is the operator's choice, not something found in the store.
    descriptor = os.open(root, _FOLDER & ~os.O_NOFOLLOW)
    for segment in segments:
        try:
            below = os.open(segment, _FOLDER, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = below
    return descriptor


@contextmanager
def opened_folder(root: Path, segments: Sequence[str]) -> Iterator[int]:
    """`open_folder` for the length of a `with` block."""
    descriptor = open_folder(root, segments)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def folder_is_there(root: Path, segments: Sequence[str]) -> bool:
    """Whether there is something to walk. Raises OSError when not even the root's parent is there, or it is a file."""
    try:
        with opened_folder(root, segments):
            return True
    except NotADirectoryError:
        if root.is_dir():
            return False
        raise
    except FileNotFoundError:
        if root.parent.is_dir():
            return False
        raise


def make_folders(root: Path, segments: Sequence[str]) -> None:
    """Create what is missing of `root/<segments>`, mode 0700, safe on disk before it returns.

    The root is created, its parent is not: a disk that is not mounted must not be mistaken for an
    empty store.
    """
    with suppress(FileExistsError):
        root.mkdir(FOLDER_MODE)
    for depth, segment in enumerate(segments):
        with opened_folder(root, segments[:depth]) as above, suppress(FileExistsError):
            os.mkdir(segment, FOLDER_MODE, dir_fd=above)
            os.fsync(above)


def walk(root: Path, prefix: str, mark: Mark = no_mark) -> Iterator[StoredFolder]:
    """All keys under `prefix` in key order; memory for the names of the folders on the way only.

    A folder that holds its mark is told by it alone: to look for one file costs a quarter of reading the folder.

    A stack instead of recursion: with 200,000 folders nested generators cost more than the disk.
    """
    base = f"{root}/"
    stack: list[str | StoredFolder] = [prefix]
    while stack:
        top = stack.pop()
        if isinstance(top, tuple):
            yield top
            continue
        files, below = _names(base, top)
        if not below:  # as nearly all are
            if files:
                files.sort()
                yield StoredFolder(top[:-1], files, None)
        elif marking := mark(top[:-1]):
            yield from _marked(root, _in_key_order(top, files, below), marking)
        else:
            stack += reversed(_in_key_order(top, files, below))


def _marked(root: Path, found: Iterable[str | StoredFolder], mark: str) -> Iterator[StoredFolder]:
    """What was found in one folder, those folders of it that hold `mark` by it alone."""
    base = f"{root}/"
    for one in found:
        if isinstance(one, tuple):
            yield one
        elif _is_file(f"{base}{one}{mark}"):
            yield StoredFolder(one[:-1], [mark], None, whole=False)
        else:
            yield from walk(root, one)


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def _in_key_order(prefix: str, files: list[str], below: list[str]) -> list[str | StoredFolder]:
    """A folder sorts with its `/`, as in S3, where `a-b/x` comes before `a/x`."""
    if not files:
        return [prefix + name for name in sorted(below)]
    found: list[str | StoredFolder] = []
    for is_file, names in groupby(sorted([*files, *below]), key=lambda name: name[-1] != "/"):
        if is_file:
            found.append(StoredFolder(prefix[:-1], list(names), None))
        else:
            found += [prefix + name for name in names]
    return found


def _names(base: str, prefix: str) -> tuple[list[str], list[str]]:
    """The files and (ending in `/`) the folders directly below. A folder that is gone by now is empty."""
    files: list[str] = []
    below: list[str] = []
    is_segment = SEGMENT.fullmatch  # at most 600,000 times: an attribute less, and a cache would not pay
    try:
        entries = os.scandir(base + prefix)
    except FileNotFoundError:
        return files, below
    with entries:
        for entry in entries:
            name = entry.name
            if not is_segment(name):
                continue
            if entry.is_file(follow_symlinks=False):
                files.append(name)
            elif entry.is_dir(follow_symlinks=False) and (prefix or name != FILE_SYSTEMS_OWN):
                below.append(name + "/")
    return files, below


def remove_empty_folders(root: Path, segments: Sequence[str]) -> None:
    """Remove `root/<segments>` and the folders above it while they are empty; never the root."""
    for depth in range(len(segments), 0, -1):
        try:
            with opened_folder(root, segments[: depth - 1]) as above:
                os.rmdir(segments[depth - 1], dir_fd=above)
        except FileNotFoundError:
            continue
        except OSError:  # not empty, or somebody put something there just now
            return
