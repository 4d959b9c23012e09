"""An answer that does not come ends who was to give it, and not the one who waits."""

from __future__ import annotations

import time

import pytest

from engine.errors import TransientFailure
from engine.hosts.answer import answer_of
from engine.hosts.base import Program
from engine.hosts.machine import Local


def closed(program: Program) -> None:
    for stream in (program.stdin, program.stdout, program.stderr):
        if stream is not None:
            stream.close()


def test_lines_come_one_at_a_time() -> None:
    program = Local().stream(("sh", "-c", "read -r line; echo one; echo two; printf half"), env={}, stdin=True)
    assert program.stdin is not None
    program.stdin.write(b"\n")
    program.stdin.flush()
    assert [answer_of(program) for _ in range(4)] == [b"one\n", b"two\n", b"half", b""]
    program.wait(5)
    closed(program)


def test_a_line_that_does_not_end_ends_the_program() -> None:
    program = Local().stream(("sh", "-c", "printf half; exec sleep 60"), env={})
    began = time.monotonic()
    with pytest.raises(TransientFailure, match="no answer within 0 s"):
        answer_of(program, 0.4)
    assert program.wait(5) != 0
    closed(program)
    assert time.monotonic() - began < 10
