"""The way back: age, then gunzip. Also run as a process of its own.

`python -m engine.streams.unpack [--identity-fd N]` filters stdin to stdout. The private key comes
through an inherited pipe: never argv, never the environment.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any

from isal import igzip_lib

from engine.streams.memory import keep_freed_memory
from engine.streams.pack import CHUNK, READER_GONE

DAMAGED, WRONG_KEY = 4, 5
"""Exit codes: the stored bytes are damaged; the private key does not open them."""


class DamagedStreamError(Exception):
    """The stored bytes are not a whole gzip or age stream."""


class WrongKeyError(Exception):
    """None of the identities opens this file."""


class GunzipWriter(io.RawIOBase):
    """A writable file that gunzips (concatenated members too) into `target`, in pieces of at most CHUNK bytes."""

    def __init__(self, target: Any) -> None:
        self._target = target
        self._gunzip = _member()

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        rest = bytes(data)
        while rest or not (self._gunzip.needs_input or self._gunzip.eof):
            if self._gunzip.eof:
                self._gunzip = _member()
            try:
                piece = self._gunzip.decompress(rest, CHUNK)
            except igzip_lib.error as error:  # type: ignore[misc] # its stub does not say it is an exception
                raise DamagedStreamError(str(error)) from None
            self._target.write(piece)
            rest = self._gunzip.unused_data if self._gunzip.eof else b""
        return len(data)

    def finish(self) -> None:
        if not self._gunzip.eof:
            raise DamagedStreamError("the stream ends too early")


def _member() -> igzip_lib.IgzipDecompressor:
    return igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_GZIP)


def unpack(source: Any, target: Any, identities: tuple[str, ...]) -> None:
    """Decrypt (when identities are given) and gunzip `source` into `target`.

    Raises:
        DamagedStreamError: damaged bytes.
        WrongKeyError: no identity opens it.
    """
    gunzip = GunzipWriter(target)
    if identities:
        _decrypt(source, gunzip, identities)
    else:
        while chunk := source.read(CHUNK):
            gunzip.write(chunk)
    gunzip.finish()


def _decrypt(source: Any, gunzip: GunzipWriter, identities: tuple[str, ...]) -> None:
    import pyrage

    keys = [pyrage.x25519.Identity.from_str(text) for text in identities]
    buffered = io.BufferedWriter(gunzip, CHUNK)
    try:
        pyrage.decrypt_io(source, buffered, keys)
        buffered.flush()
    except pyrage.DecryptError as error:
        if "matching" in str(error).lower():
            raise WrongKeyError from None
        raise DamagedStreamError(str(error)) from None
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise DamagedStreamError(str(error)) from None


def unpack_bytes(data: bytes, identities: tuple[str, ...]) -> bytes:
    """The plain bytes of a small stored file."""
    target = io.BytesIO()
    unpack(io.BytesIO(data), target, identities)
    return target.getvalue()


def parse_identities(text: str) -> tuple[str, ...]:
    """The private keys in an age identity file (comments and blank lines are passed over)."""
    lines = (line.strip() for line in text.splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def unpack_argv(identity_fd: int | None) -> tuple[str, ...]:
    extra = () if identity_fd is None else ("--identity-fd", str(identity_fd))
    return (sys.executable, "-I", "-m", "engine.streams.unpack", *extra)


def main() -> int:
    keep_freed_memory()
    identities: tuple[str, ...] = ()
    if sys.argv[1:2] == ["--identity-fd"]:
        with os.fdopen(int(sys.argv[2]), "r", encoding="utf8") as pipe:
            identities = parse_identities(pipe.read())
    try:
        with os.fdopen(0, "rb", buffering=0) as source, os.fdopen(1, "wb", buffering=CHUNK) as target:
            unpack(io.BufferedReader(source, CHUNK), target, identities)
            target.flush()
    except DamagedStreamError:
        return DAMAGED
    except WrongKeyError:
        return WRONG_KEY
    except BrokenPipeError:
        os._exit(READER_GONE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
