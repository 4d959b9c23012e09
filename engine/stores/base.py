"""Store: where bytes rest. Two kinds, one contract.

1. A key appears whole or not at all: what is half-written has no final name.
2. A key is a relative path of plain segments; anything else is refused before it is used.
3. `delete` takes exact keys. Nothing is ever deleted by prefix.
4. Every method raises only PlatformOpsError; TransientFailure where trying again may help.
5. A store may be used by several threads at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from engine.errors import ConfigurationError

_SEGMENT = r"[A-Za-z0-9%_~+@=,-][A-Za-z0-9%._~+@=,-]{0,254}"  # 255 is a file system's limit on a name
_KEY_BYTES = 1024  # S3's limit on a key
_CHUNK = 2**20
SEGMENT = re.compile(_SEGMENT)
"""One segment of a key. It never starts with a dot, so a part file's name never is one."""
_KEY = re.compile(rf"(?:{_SEGMENT}/)*{_SEGMENT}")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One key that is stored: its size in bytes and when it was last written (UTC)."""

    key: str
    size: int
    modified: datetime


class StoredFolder(NamedTuple):
    """Keys that differ in their last segment only. `path` is what they share, without the final `/`;
    `size` is their bytes together, None where a store would have to look at each of them. `whole` is False
    where only a mark was looked for (see `Store.folders`)."""

    path: str
    names: list[str]
    size: int | None
    whole: bool = True


Mark = Callable[[str], str | None]
"""Given a folder's path (no final `/`): the name of the one file in it that matters where it is there; None where
all files do."""


def no_mark(path: str) -> str | None:
    """Every file matters."""
    del path
    return None


@dataclass(frozen=True, slots=True)
class Deletion:
    """What a delete did: `deleted` keys are gone, `retained` are held by an object lock."""

    deleted: tuple[str, ...]
    retained: tuple[str, ...]


class ByteReader(Protocol):
    """A stored object being read from its start; chunks of about 1 MiB are efficient."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes (at least one); empty only at the end."""
        ...


class ByteWriter(Protocol):
    """An object being written; it gets its name when the `with` block ends without an error.

    Nothing is buffered for small writes to a folder: chunks of about 1 MiB are efficient.
    """

    def write(self, data: bytes, /) -> int:
        """Take all of `data` and return its length."""
        ...


class Store(Protocol):
    """See the module's contract."""

    @property
    def name(self) -> str: ...

    @property
    def address(self) -> str:
        """Where it is, for people: `/srv/backups` or `s3://bucket/prefix`."""
        ...

    def writer(self, key: str, *, expected_bytes: int | None = None) -> AbstractContextManager[ByteWriter]:
        """Publish an object atomically; an error inside the `with` block leaves nothing."""
        ...

    def create(self, key: str, data: bytes) -> bool:
        """Write a small object only if the key does not exist; say whether it was written.

        It is never put under an object lock, so that what holds by it can be let go.
        """
        ...

    def reader(self, key: str, *, again: bool = False) -> AbstractContextManager[ByteReader]:
        """Read an object. `again`: another way than the first time, past what may only repeat its answer (a cache of
        this machine, one long answer), to tell what is stored from what was damaged on the way.

        Raises:
            NotFound: there is no such key, as a listing shows none. A disk that is not mounted or a bucket
                that does not exist is a ConfigurationError: it tells nothing about the key.
        """
        ...

    def keys(self, prefix: str = "") -> Iterator[str]:
        """All keys that start with `prefix` (which ends in `/` or is empty), in key order."""
        ...

    def folders(self, prefix: str = "", mark: Mark = no_mark) -> Iterator[StoredFolder]:
        """The same keys, those in a row that share a folder at once: the fastest way to see many.

        A folder that other folders' keys stand between comes in several pieces. Of one that holds its
        `mark`, a store may tell the mark alone, and nothing of the folders in it.
        """
        ...

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """All objects whose key starts with `prefix` (which ends in `/` or is empty), in key order."""
        ...

    def delete(self, keys: Iterable[str]) -> Deletion:
        """Delete exactly these keys; one that is already gone counts as deleted."""
        ...

    def sweep(self, prefix: str = "") -> int:
        """Remove what killed writers left under `prefix` (part files, multipart uploads); how many.

        The caller holds the lock of everything under `prefix`: in S3 a multipart upload of another
        process cannot be told from one a killed process left. This process's own are spared.
        """
        ...


def read_small(store: Store, key: str, limit_bytes: int, *, again: bool = False) -> bytes:
    """A small object as a whole, in bounded memory: one that is longer than `limit_bytes` comes cut off, one byte
    longer than the limit.

    Raises:
        NotFound: there is no such key.
    """
    data = bytearray()
    with store.reader(key, again=again) as source:
        while (room := limit_bytes + 1 - len(data)) and (chunk := source.read(min(room, _CHUNK))):
            data += chunk
    return bytes(data)


def is_key(key: str) -> bool:
    """Whether `key` is safe to use as a path and as an S3 key."""
    return len(key) <= _KEY_BYTES and _KEY.fullmatch(key) is not None


def checked_key(key: str) -> str:
    """`key` itself when it is safe to use as a path and as an S3 key.

    Raises:
        ConfigurationError: an empty, absolute, dotted or over-long key.
    """
    if not is_key(key):
        raise ConfigurationError(
            f"{key[:120]!r} is not a key of a store: plain relative path segments only; nothing was done."
        )
    return key


def checked_prefix(prefix: str) -> str:
    """`prefix` itself when it is empty, or a safe key followed by `/`.

    Raises:
        ConfigurationError: anything else.
    """
    if prefix and not prefix.endswith("/"):
        raise ConfigurationError(f"{prefix[:120]!r} is not a prefix of keys: it has to end in `/`.")
    if prefix:
        checked_key(prefix[:-1])
    return prefix
