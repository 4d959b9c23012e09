"""Fill the working database from a database set's archive, as fast as the server takes it.

The archive is read as one stream. Its head, which has the whole table of contents, is kept: the
statements before and after the data come from it, indexes and keys by several sessions of pg_restore
at once. The rows between go to several sessions as well, so that a single large table uses them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from engine.errors import DamagedSet, OperationFailed
from engine.hosts.machine import in_time
from engine.sources.postgres.archive.archive import Head, read_head
from engine.sources.postgres.archive.listing import is_data
from engine.sources.postgres.archive.service_extensions import without_lines
from engine.sources.postgres.programs import commands
from engine.sources.postgres.restore.load.after_data import finish_database
from engine.sources.postgres.restore.load.job import LoadJob
from engine.sources.postgres.restore.load.readers import start_readers
from engine.sources.postgres.restore.load.work import Loaded, Work
from engine.sources.postgres.restore.owners import owners_may_create_in_schemas
from engine.sources.postgres.restore.replay import STALL_SECONDS
from engine.streams.pipeline import Pipeline
from engine.streams.pipes import Meter, pieces_of
from engine.streams.process import Patient, Process

_END_SECONDS = 10.0


def fill_from_archive(job: LoadJob) -> None:
    """Statements before the data, data, statements after.

    Raises:
        OperationFailed: the set does not restore, or the server refuses something in it.
    """
    work = Work(job, job.most_memory())
    finish_database(work, _until_data_are_in(work))


def _until_data_are_in(work: Work) -> Loaded:
    job, meter = work.job, Meter()
    with job.source.stored.open("rb") as stored, Pipeline() as pipeline:
        unpacked = job.unpacked(pipeline, stored)
        head = _head(work, unpacked)
        _before_data(work, head)
        with head.path.open("rb") as start:
            pieces = _counted(chain(pieces_of(start), pieces_of(unpacked.stdout)), meter)
            loaded = start_readers(work, pipeline, head, pieces)
            job.join(pipeline, meter, stored)
    return loaded


def _head(work: Work, unpacked: Process) -> Head:
    try:
        return read_head(Patient(unpacked, STALL_SECONDS), work.head, work.job.programs)
    except OperationFailed:
        if unpacked.stalled is not None:
            raise unpacked.stalled from None
    unpacked.stdout.close()
    with in_time():
        code = unpacked.popen.wait(_END_SECONDS)
    if code in unpacked.explains:
        raise unpacked.explains[code]
    source = work.job.source
    raise DamagedSet(f"{source.choice.key}: {source.file.name} holds no readable archive; use another set.")


def _before_data(work: Work, head: Head) -> None:
    """The statements before the data. Who is no superuser gives a thing to its owner only where that one may create it:
    so schemas come first, and privileges last, which take back what was granted for it."""
    job = work.job
    if job.superuser:
        kept = without_lines(head.contents, job.omitted) if job.omitted else ()
        _run(work, work.listed("before data", kept) if kept else None)
        return
    schemas, privileges, others = head.divided()
    _run(work, work.listed("schemas", schemas))
    with owners_may_create_in_schemas(job.server, job.working, job.source.proof):
        _run(work, work.listed("before data", without_lines(others, job.omitted)))
    # Listed alone they are in no section.
    _run(work, work.listed("privileges", [line for line in privileges if not is_data(line)]), section="")


def _run(work: Work, use_list: Path | None, section: str = "pre-data") -> None:
    job = work.job
    argv = commands.restore_argv(job.programs, job.working, section, archive=work.head, use_list=use_list)
    with Pipeline() as pipeline:
        job.writer(pipeline, argv, work.environment)
        pipeline.join()


def _counted(pieces: Iterable[bytes], meter: Meter) -> Iterator[bytes]:
    for piece in pieces:
        yield piece
        meter.add(len(piece))
