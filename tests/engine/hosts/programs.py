"""Programs of the tests that are given an input."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from engine.hosts.base import Program
from tests.engine.hosts.host_folder import HostFolder

WHOLE = 'cat >"$1/part" && mv "$1/part" "$1/whole"'


def stdin_of(program: Program) -> IO[bytes]:
    assert program.stdin is not None
    return program.stdin


@contextmanager
def streaming(host_folder: HostFolder, *argv: str, **env: str) -> Iterator[Program]:
    """A program with an input, let go of at the end."""
    program = host_folder.host.stream(argv, env=env, stdin=True)
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


def keeping(host_folder: HostFolder, canary: str) -> Program:
    """A program that keeps what it is given, once it has all of it."""
    return host_folder.host.stream(("sh", "-c", WHOLE, canary, host_folder.folder), env={}, stdin=True)
