"""Store: where bytes rest. Two kinds, one contract.

1. A key appears whole or not at all: what is half-written has no final name.
2. A key is a relative path of plain segments; anything else is refused before it is used.
3. `delete` takes exact keys. Nothing is ever deleted by prefix.
4. Every method raises only PlatformOpsError; TransientFailure where trying again may help.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from engine.errors import ConfigurationError

_SEGMENT = re.compile(r"[A-Za-z0-9%_~+@=,-][A-Za-z0-9%._~+@=,-]*")
_KEY_BYTES = 1024  # S3's limit on a key


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One key that is stored: its size in bytes and when it was last written (UTC)."""

    key: str
    size: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class Deletion:
    """What a delete did: `deleted` keys are gone, `retained` are held by an object lock."""

    deleted: tuple[str, ...]
    retained: tuple[str, ...]


class ByteReader(Protocol):
    """A stored object being read from its start."""

    def read(self, size: int, /) -> bytes: ...


class ByteWriter(Protocol):
    """An object being written; it gets its name when the `with` block ends without an error."""

    def write(self, data: bytes, /) -> int: ...


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
        """Write a small object only if the key does not exist; say whether it was written."""
        ...

    def reader(self, key: str) -> AbstractContextManager[ByteReader]:
        """Read an object. Raises OperationFailed when there is no such key."""
        ...

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """All objects whose key starts with `prefix` (which ends in `/` or is empty), in key order."""
        ...

    def delete(self, keys: Iterable[str]) -> Deletion:
        """Delete exactly these keys; one that is already gone counts as deleted."""
        ...

    def sweep(self, prefix: str = "") -> int:
        """Remove what killed writers left under `prefix` (part files, multipart uploads); how many."""
        ...


def checked_key(key: str) -> str:
    """`key` itself when it is safe to use as a path and as an S3 key.

    Raises:
        ConfigurationError: an empty, absolute, dotted or over-long key.
    """
    if len(key.encode()) > _KEY_BYTES or not all(_SEGMENT.fullmatch(part) for part in key.split("/")):
        raise ConfigurationError(
            f"{key[:120]!r} is not a key of a store: plain relative path segments only; nothing was done."
        )
    return key
