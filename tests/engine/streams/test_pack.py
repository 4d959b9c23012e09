"""What is packed comes out as it was, by other readers too, and what does not shrink is not made larger."""

from __future__ import annotations

import gzip
import io
import os
import subprocess

import pytest

from engine.streams.pack import CHUNK, compressed
from engine.streams.unpack import unpack_bytes

TEXT = b"the quick brown fox jumps over the lazy dog, again and again\n" * (CHUNK // 60)
RANDOM = os.urandom(2 * CHUNK)
HALF = TEXT[: CHUNK // 2] + RANDOM[: CHUNK // 2]
"""Of a chunk that is text in one half all is worth to be compressed."""


@pytest.mark.parametrize(
    ("data", "most"),
    [
        pytest.param(b"", 40, id="nothing"),
        pytest.param(b"a", 40, id="a-byte"),
        pytest.param(TEXT, len(TEXT) // 20, id="text"),
        pytest.param(RANDOM, len(RANDOM) * 1.001, id="random"),
        pytest.param(HALF, len(HALF) * 0.6, id="half"),
        pytest.param(TEXT + RANDOM + TEXT + RANDOM[:70_000] + TEXT, len(RANDOM) * 1.15, id="in-turn"),
        pytest.param(RANDOM[: CHUNK + 1], CHUNK * 1.001, id="a-byte-more"),
    ],
)
def test_other_readers_find_what_was_packed(data: bytes, most: float) -> None:
    packed = b"".join(compressed(io.BytesIO(data)))
    assert gzip.decompress(packed) == data
    assert unpack_bytes(packed, ()) == data
    assert subprocess.run(["gzip", "--decompress"], input=packed, capture_output=True, check=True).stdout == data
    assert len(packed) <= most


@pytest.mark.parametrize("at", [0.2, 0.4, 0.9])
def test_a_byte_that_changes_in_what_was_not_compressed_is_found(at: float) -> None:
    packed = bytearray(b"".join(compressed(io.BytesIO(RANDOM))))
    packed[int(len(packed) * at)] ^= 1
    with pytest.raises(gzip.BadGzipFile):
        gzip.decompress(packed)
