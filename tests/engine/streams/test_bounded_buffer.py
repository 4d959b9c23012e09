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
    assert {len(piece) for piece in found} <= {1, 2, 3}
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


def test_pieces_that_wait_come_together_as_far_as_they_fit() -> None:
    buffer = BoundedBuffer()
    with buffer:
        for piece in (b"ab", b"cd", b"efg"):
            buffer.write(piece)
    assert [buffer.read(5), buffer.read(5), buffer.read(5)] == [b"abcd", b"efg", b""]


def test_what_ended_the_writer_is_raised_after_what_it_wrote() -> None:
    buffer = BoundedBuffer()
    with pytest.raises(ZeroDivisionError), buffer:
        buffer.write(b"some")
        raise ZeroDivisionError
    assert buffer.read() == b"some"
    with pytest.raises(ZeroDivisionError):
        buffer.read()


def test_closed_by_its_owner_neither_side_goes_on() -> None:
    buffer, raised = BoundedBuffer(), []

    def broken(work: Callable[[], object]) -> None:
        try:
            work()
        except BrokenPipeError as error:
            raised.append(error)

    def write() -> None:
        with buffer:
            for _ in range(6):
                buffer.write(PIECE)

    empty = BoundedBuffer()
    threads = [at_work(lambda: broken(write)), at_work(lambda: broken(empty.read))]
    threads[0].join(0.2)
    for each in (buffer, empty):
        each.close()
    for thread in threads:
        thread.join(5)
    assert len(raised) == 2
    with pytest.raises(BrokenPipeError):
        buffer.read()
