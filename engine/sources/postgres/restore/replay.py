"""Play a stored set back into a server with the stock tools, checking the stored bytes on the way."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import IO, TypeVar

from pydantic import TypeAdapter, ValidationError

from engine.errors import CouldNotVerify, DamagedSet, OperationFailed
from engine.progress import Progress, Throttled
from engine.repository.body import Body, FileEntry
from engine.repository.keys import SetKey
from engine.repository.reading import NoFittingKey, damaged, read_small, stored_pieces, wrong_key
from engine.repository.repository import Repository, needs_identities
from engine.sources.postgres.proof.proof import DatabaseProof
from engine.sources.postgres.proof.roles import RoleProof
from engine.streams.pipeline import Pipeline
from engine.streams.pipes import Meter, pump
from engine.streams.process import Process
from engine.streams.unpack import DAMAGED, WRONG_KEY, unpack_argv

_Parsed = TypeVar("_Parsed")
APPLICATION = "platform-ops restore"
STALL_SECONDS = 3600.0
"""When nothing has moved for so long, it is asked whether the server is at work: it may build an index."""


def play(
    repository: Repository,
    body: Body,
    file: FileEntry,
    argv: Sequence[str],
    environment: dict[str, str],
    progress: Progress,
    what: str,
    alive: Callable[[], bool],
) -> None:
    """Stream one stored file, unpacked, into a program's stdin.

    `alive`: whether the program's server is at work; asked when no byte has moved for long.

    Raises:
        DamagedSet: the stored bytes differ or are damaged, or the program refused them.
        CouldNotVerify: it cannot be decrypted here.
    """
    meter, tick = Meter(), Throttled(progress)
    with _head_is_whole(repository, body.key, file), _blaming_the_right_one() as told, Pipeline() as pipeline:
        unpacked = start_unpack(pipeline, repository, body, file)
        tool = pipeline.start(argv, name=what, env=environment, stdin=unpacked.stdout, stdout=subprocess.DEVNULL)
        tool.failed_as = DamagedSet
        told.append(tool)
        unpacked.stdout.close()
        pipeline.run(partial(pump, stored_pieces(repository, body.key, file), (unpacked.stdin,), meter), "read")
        pipeline.join(meter, STALL_SECONDS, lambda: tick(what, meter.bytes, file.size), alive)


@contextmanager
def _head_is_whole(repository: Repository, key: SetKey, file: FileEntry) -> Iterator[None]:
    """Where no key seems to fit, tell a changed head from another's key: by all the stored bytes."""
    try:
        yield
    except NoFittingKey:
        for _ in stored_pieces(repository, key, file):
            pass
        raise


_LACKING = re.compile(
    r"invalid (?:LC_COLLATE|LC_CTYPE|locale|ICU|builtin)|could not create locale|not supported (?:in|by) this build"
    r"|compression method \S+ not supported|could not access file"
    r"|No space left on device|out of memory|could not resize shared memory"
    r"|server closed the connection unexpectedly|connection to server was lost|terminating connection because of crash"
    r"|the database system is (?:in recovery mode|shutting down|starting up)|Connection refused|terminated by user"
)
"""What is said when the server, not the set, is at fault: a locale, a library, a build option, room or memory is
missing, or it went away (a full disk of its log ends all of it)."""


@contextmanager
def _blaming_the_right_one() -> Iterator[list[Process]]:
    """Of the programs that are put into the list all that they said is looked at."""
    told: list[Process] = []
    try:
        yield told
    except OperationFailed as error:
        if any(_LACKING.search(text) for text in (str(error), *(tool.all_it_said() for tool in told))):
            raise CouldNotVerify(
                f"The scratch server cannot hold this set: {error} Drill where a server like the source's can run."
            ) from None
        raise


def read_proof(repository: Repository, body: Body, file: FileEntry) -> DatabaseProof:
    """A database's proof.

    Raises:
        DamagedSet: the file is damaged or holds no proof.
        CouldNotVerify: it cannot be decrypted here.
    """
    return _parsed(DatabaseProof.model_validate_json, repository, body, file)


def read_role_proofs(repository: Repository, body: Body, file: FileEntry) -> dict[str, RoleProof]:
    """The proof of the roles; raises as `read_proof` does."""
    return _parsed(TypeAdapter(dict[str, RoleProof]).validate_json, repository, body, file)


def _parsed(parse: Callable[[bytes], _Parsed], repository: Repository, body: Body, file: FileEntry) -> _Parsed:
    data = read_small(repository, body, file)
    try:
        return parse(data)
    except ValidationError:
        raise DamagedSet(f"{body.key}: {file.name} holds no proof that this version reads; use another set.") from None


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
