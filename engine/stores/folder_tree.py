"""Walking a store's folder without leaving it: no symbolic link below the root is ever followed.

A folder is opened segment by segment relative to the one above, so that nobody can swap a link in
between the look and the use.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from engine.errors import ConfigurationError
from engine.stores.base import SEGMENT, Mark, StoredFolder, no_mark
from engine.stores.folder_aide import Looker, looker

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


def check_mounted(store: str, mount: Path | None) -> None:
    """Go on only where a disk is mounted at `mount` (None: nobody asked for that).

    Raises:
        ConfigurationError: there is none: what is found, or written, there would be on another disk.
    """
    if mount and not mount.resolve().is_mount():
        raise ConfigurationError(f"The disk of store {store!r} is not mounted at {mount}; mount it and start again.")


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
        _sync(root.parent)
    for depth, segment in enumerate(segments):
        with opened_folder(root, segments[:depth]) as above, suppress(FileExistsError):
            os.mkdir(segment, FOLDER_MODE, dir_fd=above)
            os.fsync(above)


def _sync(folder: Path) -> None:
    with suppress(PermissionError):  # who may add to a folder need not be allowed to open it
        descriptor = os.open(folder, _FOLDER & ~os.O_NOFOLLOW)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class _Below(NamedTuple):
    """A folder that has folders in it, and what else was found there."""

    prefix: str
    files: list[str]
    folders: list[str]


def walk(root: Path, prefix: str, mark: Mark = no_mark) -> Iterator[StoredFolder]:
    """All keys under `prefix` in key order; memory for the names of the folders on the way only.

    A folder that holds its mark is told by it alone: to look for one file costs a quarter of reading the folder.
    A stack instead of recursion: whoever writes to the store may nest folders a thousand deep.
    """
    with looker(root) as looking:
        stack = [_seen([prefix], looking, no_mark)]
        while stack:
            for found in stack[-1]:
                if isinstance(found, StoredFolder):
                    yield found
                else:
                    stack.append(_level(found, looking, mark))
                    break
            else:
                stack.pop()


def _level(above: _Below, looking: Looker, mark: Mark) -> Iterator[StoredFolder | _Below]:
    """What is in a folder, in key order. A folder sorts with its `/`, as in S3: `a-b/x` comes before `a/x`."""
    below = [name + "/" for name in above.folders]
    for is_file, group in groupby(sorted([*above.files, *below]), key=_is_file):
        if is_file:
            yield StoredFolder(above.prefix[:-1], list(group), None)
        else:
            yield from _seen([above.prefix + name for name in group], looking, mark)


def _is_file(name: str) -> bool:
    return name[-1] != "/"


def _seen(prefixes: Sequence[str], looking: Looker, mark: Mark) -> Iterator[StoredFolder | _Below]:
    """What was seen in each of these folders."""
    for marked, alike in groupby(prefixes, key=lambda prefix: mark(prefix[:-1])):
        yield from _seen_alike(list(alike), looking, marked)


def _seen_alike(prefixes: Sequence[str], looking: Looker, marked: str | None) -> Iterator[StoredFolder | _Below]:
    is_segment = SEGMENT.fullmatch
    for prefix, found in zip(prefixes, looking.looks(prefixes, marked), strict=True):
        if found is None:
            yield StoredFolder(prefix[:-1], [marked or ""], None, whole=False)
            continue
        files = [name for name in found[0] if is_segment(name)]
        folders = [name for name in found[1] if is_segment(name) and (prefix or name != FILE_SYSTEMS_OWN)]
        if folders:
            yield _Below(prefix, files, folders)
        elif files:  # as nearly all are
            yield StoredFolder(prefix[:-1], sorted(files), None)


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
