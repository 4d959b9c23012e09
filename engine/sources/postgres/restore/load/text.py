"""Fill the working database from a cluster set's SQL: what stands after the line that ends its preamble."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from functools import partial

from engine.errors import DamagedSet
from engine.sources.postgres.archive.plain_sql import body_marker
from engine.sources.postgres.archive.service_extensions import without
from engine.sources.postgres.programs import commands
from engine.sources.postgres.restore.load.job import LoadJob
from engine.sources.postgres.restore.refused import object_at, refused_line
from engine.streams.pipeline import Pipeline
from engine.streams.pipes import Meter, pieces_of, pump

_PREAMBLE_BYTES = 64 * 2**20


def fill_from_text(job: LoadJob) -> None:
    """Run the SQL with psql.

    Raises:
        OperationFailed: the set does not restore, or the server refuses something in it.
    """
    meter = Meter()
    with job.source.stored.open("rb") as stored, Pipeline() as pipeline:
        unpacked = job.unpacked(pipeline, stored)
        argv = (*commands.psql_argv(job.programs, job.working), "--file=-")  # it then says which line
        psql = job.writer(pipeline, argv, job.environment(), subprocess.PIPE)
        contents = after_marker(pieces_of(unpacked.stdout), body_marker(job.source.choice.key.set_id))
        if job.omitted:
            contents = without(contents, job.omitted)
        pipeline.run(partial(pump, contents, (psql.stdin,), meter), "restore")
        job.join(pipeline, meter, stored)


def object_of(job: LoadJob, stderr: str) -> str:
    """What the statement is of that psql refused, where it says which line that is of."""
    line = refused_line(stderr)
    if line is None:
        return ""
    with job.source.stored.open("rb") as stored, Pipeline() as pipeline:
        pieces = pieces_of(job.unpacked(pipeline, stored).stdout)
        return object_at(after_marker(pieces, body_marker(job.source.choice.key.set_id)), line)


def after_marker(pieces: Iterable[bytes], marker: bytes) -> Iterator[bytes]:
    """What follows the first `marker`.

    Raises:
        DamagedSet: it never came; nothing was passed on.
    """
    held = b""
    source = iter(pieces)
    for piece in source:
        held += piece
        at = held.find(marker)
        if at >= 0:
            yield held[at + len(marker) :]
            yield from source
            return
        if len(held) > _PREAMBLE_BYTES:
            break
    raise DamagedSet("The SQL has no line that ends its preamble; restore it whole, with psql.")
