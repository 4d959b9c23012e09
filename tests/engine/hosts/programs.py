"""Programs of the tests that are given an input."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from engine.hosts.base import Program
from tests.engine.hosts.places import Place

WHOLE = 'cat >"$1/part" && mv "$1/part" "$1/whole"'


def stdin_of(program: Program) -> IO[bytes]:
    assert program.stdin is not None
    return program.stdin


@contextmanager
def streaming(place: Place, *argv: str, **env: str) -> Iterator[Program]:
    """A program with an input, let go of at the end."""
    program = place.host.stream(argv, env=env, stdin=True)
    try:
        yield program
    finally:
        let_go(program)


def let_go(program: Program) -> None:
    program.kill()
    program.wait(20)
    for stream in (program.stdin, program.stdout, program.stderr):
        if stream is not None:
            stream.close()


def keeping(place: Place, canary: str) -> Program:
    """A program that keeps what it is given, once it has all of it."""
    return place.host.stream(("sh", "-c", WHOLE, canary, place.folder), env={}, stdin=True)
