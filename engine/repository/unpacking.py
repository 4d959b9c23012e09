"""A stored file of a set on its way back: decrypted and gunzipped by a process of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from engine.repository.body import Body, FileEntry
from engine.repository.reading import damaged, wrong_key
from engine.repository.repository import Repository, needs_identities
from engine.streams.pipeline import Pipeline
from engine.streams.process import Process
from engine.streams.unpack import DAMAGED, WRONG_KEY, unpack_argv


def start_unpack(
    pipeline: Pipeline,
    repository: Repository,
    body: Body,
    file: FileEntry,
    stdin: int | IO[bytes] = subprocess.PIPE,
) -> Process:
    """The process that decrypts and gunzips; the private key reaches it through a pipe."""
    identities = needs_identities(repository, body.encrypted)
    with _identity_pipe(identities) as descriptor:
        process = pipeline.start(
            unpack_argv(descriptor),
            name=f"unpacking {file.name}",
            stdin=stdin,
            pass_fds=() if descriptor is None else (descriptor,),
        )
    process.explains = {DAMAGED: damaged(repository, body.key, file.name), WRONG_KEY: wrong_key(repository, body.key)}
    return process


@contextmanager
def _identity_pipe(identities: tuple[str, ...]) -> Iterator[int | None]:
    if not identities:
        yield None
        return
    reading, writing = os.pipe()
    try:
        os.write(writing, "\n".join(identities).encode())  # far below a pipe's capacity
        os.close(writing)
        yield reading
    finally:
        os.close(reading)
