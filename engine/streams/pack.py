"""gzip, then age: what turns a stream into stored bytes. Also run as a process of its own.

`python -m engine.streams.pack [recipient ...]` filters stdin to stdout. A process, because the age
library holds Python's lock while it streams: two streams in two processes use two cores.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import struct
import sys
from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any

from isal import isal_zlib

from engine.streams.memory import keep_freed_memory

if TYPE_CHECKING:  # a program of its own starts in 0.05 s instead of 0.08
    from engine.hosts.base import Readable

CHUNK = 1 << 20
READER_GONE = 141
"""How a process of ours ends when nobody reads any more, as a shell tells SIGPIPE (128 + 13)."""
_LEVEL = 1  # of ISA-L's: 2 gives the same size within 2 % and takes a tenth longer, 3 twice as long
_GZIP = 31  # zlib's wbits for a gzip header and trailer
_HEADER = b"\x1f\x8b\x08" + bytes(6) + b"\xff"
_BLOCK = 0xFFFF
_SAMPLE, _SAMPLES, _SHRUNK = 4096, 4, 4000
"""Bytes of a sample, how many of them, and how many bytes are left of one that is worth it."""


def compressed(source: Readable) -> Iterator[bytes]:
    """The gzip stream of what `source` gives, in pieces. Buffered: many small pieces cost twice the time.

    What would not shrink is stored as it is, in a gzip file of its own, in a fifth of the time.
    """
    press: isal_zlib.Compress | None = _press()
    while chunk := source.read(CHUNK):
        if _shrinks(chunk):
            press = press or _press()
            if piece := press.compress(chunk):
                yield piece
        else:
            if press:
                yield press.flush()
            press = None
            yield _as_it_is(chunk)
    if press:
        yield press.flush()


def _press() -> isal_zlib.Compress:
    return isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP)


def _shrinks(chunk: bytes) -> bool:
    """Whether any of some samples does; a small one is taken to."""
    step = len(chunk) // _SAMPLES
    if step < 4 * _SAMPLE:
        return True
    samples = (chunk[at : at + _SAMPLE] for at in range(0, step * _SAMPLES, step))
    return any(len(isal_zlib.compress(each, _LEVEL)) < _SHRUNK for each in samples)


def _as_it_is(chunk: bytes) -> bytes:
    """A gzip file whose blocks are not compressed (RFC 1951, 3.2.4; RFC 1952, 2.3)."""
    whole = memoryview(chunk)
    parts: list[bytes | memoryview] = [_HEADER]
    for at in range(0, len(whole), _BLOCK):
        block = whole[at : at + _BLOCK]
        parts += (struct.pack("<BHH", at + _BLOCK >= len(whole), len(block), len(block) ^ 0xFFFF), block)
    return b"".join((*parts, struct.pack("<II", isal_zlib.crc32(chunk), len(chunk))))


def member(data: bytes | bytearray) -> bytes:
    """`data` as a gzip file of its own. Such files may follow each other in one."""
    press = _press()
    return press.compress(data) + press.flush()


class IteratorReader(io.RawIOBase):
    """A readable file over an iterator of bytes, for libraries that want a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def pack(source: IO[bytes], target: Any, recipients: Sequence[str]) -> None:
    """Compress `source` and, with recipients (age public keys), encrypt to all of them."""
    if not recipients:
        for piece in compressed(source):
            target.write(piece)
        return
    encrypt(io.BufferedReader(IteratorReader(compressed(source)), CHUNK), target, recipients)


def encrypt(source: IO[bytes], target: Any, recipients: Sequence[str]) -> None:
    """Encrypt `source`, which is compressed already, to all recipients.

    Raises:
        BrokenPipeError: `source` or `target` failed.
    """
    import pyrage

    keys = [pyrage.x25519.Recipient.from_str(text) for text in recipients]
    try:
        pyrage.encrypt_io(source, target, keys)
    except pyrage.EncryptError as error:  # whatever the two raise comes as this
        raise BrokenPipeError(str(error)) from None


def pack_bytes(data: bytes, recipients: Sequence[str]) -> bytes:
    """`data` as it is stored. For small things only: a proof, the roles."""
    target = io.BytesIO()
    pack(io.BytesIO(data), target, recipients)
    return target.getvalue()


def pack_argv(recipients: Sequence[str]) -> tuple[str, ...]:
    return (sys.executable, "-I", "-m", "engine.streams.pack", *recipients)


def widen(descriptor: int) -> None:
    """Let a pipe hold a whole chunk: at the usual 64 KiB its two ends wake each other 16 times as often."""
    with contextlib.suppress(OSError):  # no pipe, or this user's share of pipe memory is used up
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, CHUNK)


def main() -> int:
    keep_freed_memory()
    widen(0)
    widen(1)
    with os.fdopen(0, "rb", buffering=CHUNK) as source, os.fdopen(1, "wb", buffering=CHUNK) as target:
        try:
            pack(source, target, sys.argv[1:])
            target.flush()
        except BrokenPipeError:
            os._exit(READER_GONE)  # its own error is the one to tell
    return 0


if __name__ == "__main__":
    sys.exit(main())
