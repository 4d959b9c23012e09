"""Play a stored set back into a server with the stock tools, checking the stored bytes on the way."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import IO, TypeVar

from pydantic import TypeAdapter, ValidationError

from engine.errors import DamagedSet, OperationFailed, PlatformOpsError
from engine.progress import Progress, Throttled
from engine.repository.body import Body, FileEntry
from engine.repository.reading import NoFittingKey, read_small, stored_pieces
from engine.repository.repository import Repository
from engine.repository.unpacking import start_unpack
from engine.sources.postgres.archive.service_extensions import without as leave_out
from engine.sources.postgres.proof.proof import DatabaseProof
from engine.sources.postgres.proof.roles import RoleProof
from engine.sources.postgres.restore.refused import object_at, refused, refused_line
from engine.streams.pipeline import Pipeline
from engine.streams.pipes import Meter, pieces_of, pump
from engine.streams.process import Process

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
    *,
    through: Sequence[str] = (),
    without: Collection[str] = (),
) -> None:
    """Stream one stored file, unpacked, into a program's stdin; its SQL `without` these extensions.

    `alive`: whether the program's server is at work; asked when no byte has moved for long. `through`: the program that
    makes SQL of an archive.

    Raises:
        DamagedSet: the stored bytes differ or are damaged, or the server refuses them.
        CouldNotVerify: it cannot be decrypted here, the server lacks something, or the store changes its answers.
    """
    meter, tick = Meter(), Throttled(progress)
    pieces = stored_pieces(repository, body.key, file)
    tools: list[Process] = []
    try:
        with Pipeline() as pipeline:
            unpacked = start_unpack(pipeline, repository, body, file)
            source = unpacked.stdout
            if through:
                source = pipeline.start(through, name=f"{what} to SQL", stdin=unpacked.stdout).stdout
                unpacked.stdout.close()
            tools.append(_started(pipeline, argv, environment, what, source, without))
            pipeline.run(partial(pump, pieces, (unpacked.stdin,), meter), "read")
            pipeline.join(meter, STALL_SECONDS, lambda: tick(what, meter.bytes, file.size), alive)
    except (OperationFailed, NoFittingKey) as error:
        _require_the_manifest_s(pieces)
        if type(error) is not OperationFailed:
            raise
        stderr = "\n".join((str(error), *(tool.whole_stderr() for tool in tools)))
        raise refused(error, stderr, "The scratch server", _object(repository, body, file, stderr)) from None


def _started(
    pipeline: Pipeline,
    argv: Sequence[str],
    environment: dict[str, str],
    what: str,
    source: IO[bytes],
    without: Collection[str],
) -> Process:
    """The program that is fed from `source`, directly where nothing is left out."""
    stdin = subprocess.PIPE if without else source
    tool = pipeline.start(argv, name=what, env=environment, stdin=stdin, stdout=subprocess.DEVNULL)
    tool.failed_as = OperationFailed
    if without:
        pipeline.run(partial(pump, leave_out(pieces_of(source), without), (tool.stdin,)), "leave out")
    else:
        source.close()
    return tool


def _require_the_manifest_s(pieces: Iterator[bytes]) -> None:
    """Read the rest of what was given to a program that failed: whether it got what was stored is known at the end.

    Raises:
        DamagedSet: it did not; the stored bytes differ.
        UnsteadyStore: it did not, and a second reading gives something else.
    """
    with suppress(ValueError):  # a store that does not answer still has its thread; what the program said counts then
        for _ in pieces:
            pass


def _object(repository: Repository, body: Body, file: FileEntry, stderr: str) -> str:
    """What the statement is of that psql refused, where it says which line that is of."""
    line = refused_line(stderr)
    if line is None:
        return ""
    with suppress(PlatformOpsError), Pipeline() as pipeline:
        unpacked = start_unpack(pipeline, repository, body, file)
        pipeline.run(partial(pump, stored_pieces(repository, body.key, file), (unpacked.stdin,)), "read")
        return object_at(pieces_of(unpacked.stdout), line)
    return ""


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
