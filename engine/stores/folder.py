"""A store in a local or mounted folder: part file, fsync, rename, fsync of the folder.

Files are 0600, folders 0700. Symbolic links inside the store are neither listed nor followed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from engine.errors import NotFound
from engine.stores.base import (
    ByteReader,
    ByteWriter,
    Deletion,
    Mark,
    StoredFolder,
    StoredObject,
    checked_key,
    checked_prefix,
    no_mark,
)
from engine.stores.folder_errors import LINK, failure, link_met
from engine.stores.folder_files import (
    FileReader,
    FileWriter,
    begin_part,
    forget_pages,
    link_new,
    status_of,
    write_all,
)
from engine.stores.folder_sweep import sweep_parts
from engine.stores.folder_tree import (
    check_mounted,
    folder_is_there,
    opened_folder,
    remove_empty_folders,
    walk,
)
from engine.stores.part_files import new_part_name

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a named pipe must not hang us


class FolderStore:
    """A Store whose keys are files below `root`. `mount`: the disk it is on, if that is to be there."""

    def __init__(self, name: str, root: Path, mount: Path | None = None) -> None:
        self.name = name
        self._root = root
        self._mount = mount

    @property
    def address(self) -> str:
        return str(self._root)

    @contextmanager
    def writer(self, key: str, *, expected_bytes: int | None = None) -> Iterator[ByteWriter]:
        del expected_bytes  # only S3 has to know in advance
        *segments, final = checked_key(key).split("/")
        with self._part(key, segments) as (folder, part, descriptor):
            yield FileWriter(descriptor, partial(self._failing, f"Writing {key}"))
            with self._failing(f"Writing {key}"):
                os.fsync(descriptor)
                os.rename(part, final, src_dir_fd=folder, dst_dir_fd=folder)
                os.fsync(folder)

    def create(self, key: str, data: bytes) -> bool:
        *segments, final = checked_key(key).split("/")
        with self._part(key, segments) as (folder, part, descriptor), self._failing(f"Writing {key}"):
            write_all(descriptor, data)
            os.fsync(descriptor)
            created = link_new(folder, part, final, descriptor)
            os.fsync(folder)
        return created

    @contextmanager
    def reader(self, key: str, *, again: bool = False) -> Iterator[ByteReader]:
        *segments, final = checked_key(key).split("/")
        with self._failing(f"Reading {key}"):
            check_mounted(self.name, self._mount)
            descriptor = self._opened(key, segments, final)
        if again:
            forget_pages(descriptor)
        try:
            yield FileReader(descriptor, partial(self._failing, f"Reading {key}"))
        finally:
            os.close(descriptor)

    def _opened(self, key: str, segments: Sequence[str], final: str) -> int:
        """What a listing passes over, a link or a special file, is no key here either."""
        where = f"store {self.name!r} at {self._root}"
        try:
            with opened_folder(self._root, segments) as folder:
                descriptor = os.open(final, _READ, dir_fd=folder)
        except FileNotFoundError:
            if not self._root.parent.is_dir():
                raise  # a disk that is not there
            raise NotFound(f"{key} is not in {where}.") from None
        except OSError as error:
            if error.errno in LINK and self._root.is_dir():
                raise NotFound(link_met(f"Reading {key}", where)) from None
            raise
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISREG(mode):
            return descriptor
        os.close(descriptor)
        raise NotFound(
            f"{key} is not in {where}." if stat.S_ISDIR(mode) else f"{key} in {where} is no plain file; remove it."
        )

    def keys(self, prefix: str = "") -> Iterator[str]:
        for folder in self.folders(prefix):
            start = f"{folder.path}/" if folder.path else ""
            yield from (start + name for name in folder.names)

    def folders(self, prefix: str = "", mark: Mark = no_mark) -> Iterator[StoredFolder]:
        segments = checked_prefix(prefix).split("/")[:-1]
        with self._failing(f"Listing {prefix or 'everything'}"):
            check_mounted(self.name, self._mount)
            if folder_is_there(self._root, segments):
                yield from walk(self._root, prefix, mark)
            check_mounted(self.name, self._mount)  # one lost on the way looks like folders that were emptied

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        root = f"{self._root}/"
        with self._failing(f"Listing {prefix or 'everything'}"):
            for key in self.keys(prefix):
                status = status_of(root + key)
                if status:
                    yield StoredObject(key, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))

    def delete(self, keys: Iterable[str]) -> Deletion:
        gone: list[str] = []
        folders: dict[str, None] = {}
        for key in keys:
            *segments, final = checked_key(key).split("/")
            check_mounted(self.name, self._mount)
            with self._failing(f"Deleting {key}"), suppress(FileNotFoundError, NotADirectoryError):
                with opened_folder(self._root, segments) as folder, suppress(IsADirectoryError):
                    os.unlink(final, dir_fd=folder)
                folders["/".join(segments)] = None
            gone.append(key)
        for path in reversed(folders):
            remove_empty_folders(self._root, path.split("/") if path else [])
        return Deletion(tuple(gone), ())

    def sweep(self, prefix: str = "") -> int:
        segments = checked_prefix(prefix).split("/")[:-1]
        with self._failing(f"Sweeping {prefix or 'everything'}"):
            check_mounted(self.name, self._mount)
            return sweep_parts(self._root, prefix) if folder_is_there(self._root, segments) else 0

    @contextmanager
    def _part(self, key: str, segments: Sequence[str]) -> Iterator[tuple[int, str, int]]:
        """A new part file: its folder's descriptor, its name and its own descriptor."""
        part = new_part_name()
        with self._failing(f"Writing {key}"):
            check_mounted(self.name, self._mount)
            folder, descriptor = begin_part(self._root, segments, part)
        try:
            yield folder, part, descriptor
        finally:
            with suppress(OSError):  # it was renamed, as a rule
                os.unlink(part, dir_fd=folder)
            os.close(descriptor)
            os.close(folder)
            remove_empty_folders(self._root, segments)

    @contextmanager
    def _failing(self, doing: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise failure(error, self.name, self._root, doing) from None
