"""A buffer between two threads: all of it in order, never more than it holds, and no end that waits for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from engine.streams.bounded_buffer import BoundedBuffer

PIECE = bytes(1 << 20)


def at_work(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_all_of_it_comes_in_order_in_pieces_of_the_size_that_was_asked_for() -> None:
    buffer = BoundedBuffer()

    def write() -> None:
        with buffer:
            for number in range(1000):
                buffer.write(b"%04d" % number)
                buffer.write(b"")

    thread = at_work(write)
    found = list(iter(lambda: buffer.read(3), b""))
    thread.join(5)
    assert {len(piece) for piece in found} == {1, 3}
    assert b"".join(found) == b"".join(b"%04d" % number for number in range(1000))
    assert buffer.read() == b""


def test_a_writer_waits_for_room() -> None:
    buffer = BoundedBuffer()
    written: list[int] = []
    thread = at_work(lambda: written.extend(buffer.write(PIECE) for _ in range(6)))
    thread.join(0.5)
    assert len(written) == 4
    assert buffer.read() == PIECE
    assert buffer.read() == PIECE
    thread.join(5)
    assert len(written) == 6


def test_a_writer_that_waits_is_told_that_nobody_reads_any_more() -> None:
    buffer = BoundedBuffer()
    raised: list[BaseException] = []

    def write() -> None:
        try:
            for _ in range(6):
                buffer.write(PIECE)
        except BrokenPipeError as error:
            raised.append(error)

    thread = at_work(write)
    thread.join(0.2)
    assert thread.is_alive()
    buffer.leave()
    thread.join(5)
    assert raised
    with pytest.raises(BrokenPipeError):
        buffer.write(b"x")
