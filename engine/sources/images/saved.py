"""What `docker save` and `podman save` write: which blobs are in it, as it streams. Memory stays flat."""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any, cast

from engine.errors import OperationFailed
from engine.streams.pack import CHUNK

_GZIP = b"\x1f\x8b"
_SMALL = 4 << 20
"""Bytes that a configuration or the list of images has at most."""


@dataclass
class Saved:
    """What one pass over an archive found: by member the SHA-256 of its bytes (of a packed layer: unpacked) and their
    number; the list of images."""

    digests: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    listed: list[dict[str, Any]] = field(default_factory=list)


class Hashing:
    """A file to read from, hashed and counted on its way."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._digest = hashlib.sha256()
        self.size = 0

    def read(self, size: int = -1) -> bytes:
        piece = self._source.read(size)
        self._digest.update(piece)
        self.size += len(piece)
        return piece

    @property
    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def members(stream: IO[bytes]) -> Iterator[tuple[str, IO[bytes]]]:
    """Each regular file of an archive with its name, to be read before the next; a packed one comes unpacked.

    Raises:
        OperationFailed: it is no whole archive.
    """
    with _whole(), tarfile.open(fileobj=stream, mode="r|", bufsize=CHUNK) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isreg() else None
            if file is not None:
                yield member.name.removeprefix("./"), _plain(file)


@contextmanager
def _whole() -> Iterator[None]:
    """A member tells while it is read that it is broken."""
    try:
        yield
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error, ValueError) as error:
        raise OperationFailed(f"what the engine saved is no whole archive of images ({error})") from None


def _plain(file: IO[bytes]) -> IO[bytes]:
    start = file.read(2)
    whole = cast("IO[bytes]", _Begun(start, file))
    return cast("IO[bytes]", gzip.GzipFile(fileobj=whole)) if start == _GZIP else whole


class _Begun:
    """A file whose first bytes were read already."""

    def __init__(self, start: bytes, rest: IO[bytes]) -> None:
        self._start, self._rest = start, rest

    def read(self, size: int = -1) -> bytes:
        if not self._start or size == 0:
            return self._rest.read(size) if size else b""
        if 0 < size < len(self._start):
            piece, self._start = self._start[:size], self._start[size:]
            return piece
        start, self._start = self._start, b""
        return start + self._rest.read(size - len(start) if size > 0 else -1)


def read_saved(stream: IO[bytes]) -> Saved:
    """Look at all of an archive.

    Raises:
        OperationFailed: it is none.
    """
    found = Saved()
    with _whole():
        for name, file in members(stream):
            hashing = Hashing(file)
            text = bytearray()
            while piece := hashing.read(CHUNK):
                if name == "manifest.json" and len(text) < _SMALL:
                    text += piece
            found.digests[name], found.sizes[name] = hashing.hexdigest, hashing.size
            if name == "manifest.json":
                found.listed = json.loads(bytes(text))
    return found


def each_wanted(stream: IO[bytes], wanted: Mapping[str, str], store: Callable[[str, IO[bytes]], None]) -> None:
    """Give `store` the blobs that are wanted, as they come: `wanted` has their digests by member.

    Raises:
        OperationFailed: the archive is not whole.
    """
    left = dict(wanted)
    with _whole():
        for name, file in members(stream):
            if digest := left.pop(name, None):
                store(digest, file)
