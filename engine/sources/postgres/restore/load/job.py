"""What it takes to put a stored database's contents into the working one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import isqrt
from pathlib import Path
from typing import IO

from engine.errors import OperationFailed
from engine.progress import Progress, Throttled
from engine.repository.unpacking import start_unpack
from engine.sources.postgres.restore.checked_copy import Source
from engine.sources.postgres.restore.replay import APPLICATION, STALL_SECONDS
from engine.sources.postgres.server.activity import is_active
from engine.sources.postgres.server.server import Server
from engine.streams.pack import widen
from engine.streams.pipeline import Pipeline
from engine.streams.pipes import Meter
from engine.streams.process import Process

JOBS = max(2, min(4, os.cpu_count() or 2))
"""Sessions that load rows or build indexes at the same time."""

_MEMORY = """
SELECT GREATEST(pg_catalog.pg_size_bytes(pg_catalog.current_setting('maintenance_work_mem')),
    pg_catalog.pg_size_bytes(pg_catalog.current_setting('shared_buffers')) / %s) / 1024
"""
"""In kB, for each session: together no more than the server's own cache, unless it is set to more."""
_RUN_BUFFER, _LEAST_SORT_KB = 264, 4096
"""A merge reads each sorted run through 264 kB (MERGE_BUFFER_SIZE and TAPE_BUFFER_OVERHEAD in tuplesort.c)."""


def sort_memory(size: int, most: int) -> int:
    """The memory to sort an index in, in kB, at most `most`; the rows of its table are `size` bytes.

    Sorting is two to three times as fast in memory that a processor's cache holds, so an index gets only what
    lets one pass merge all runs: `size` / memory runs, each with a buffer in that memory.
    """
    return min(most, max(_LEAST_SORT_KB, isqrt(size // 1024 * _RUN_BUFFER)))


@dataclass(frozen=True, slots=True)
class LoadJob:
    """One database to fill: where it comes from, and the working database it goes to.

    `superuser`: whoever fills it is one. `omitted`: extensions of a service that the server lacks.
    """

    source: Source
    server: Server
    working: str
    programs: Path
    progress: Progress
    superuser: bool = True
    omitted: frozenset[str] = frozenset()

    @property
    def what(self) -> str:
        return f"restore {self.source.choice.database}"

    @property
    def encoding(self) -> str:
        """The client encoding of every session that reads or writes the working database."""
        return self.source.proof.client_encoding

    def unpacked(self, pipeline: Pipeline, stored: IO[bytes]) -> Process:
        """The program that unpacks the spooled bytes."""
        source = self.source
        process = start_unpack(pipeline, source.repository, source.body, source.file, stdin=stored)
        widen(process.stdout.fileno())
        return process

    def environment(self, memory: int | None = None) -> dict[str, str]:
        """For the programs that write: nothing is durable before the database has its name, indexes have memory (kB)."""
        environment = self.server.restoring_environment(APPLICATION, self.encoding)
        memory = self.most_memory() if memory is None else memory
        options = f"{environment['PGOPTIONS']} -c synchronous_commit=off -c maintenance_work_mem={memory}kB"
        return environment | {"PGOPTIONS": options}

    def most_memory(self) -> int:
        """What a session that builds an index may have, in kB."""
        with self.server.connect(application=APPLICATION) as connection:
            (memory,) = connection.execute(_MEMORY, (JOBS,)).fetchall()[0]
        return int(memory)

    def writer(
        self,
        pipeline: Pipeline,
        argv: Sequence[str],
        environment: dict[str, str],
        stdin: int | IO[bytes] = subprocess.DEVNULL,
    ) -> Process:
        """A client program that writes into the working database."""
        tool = pipeline.start(
            argv,
            name=Path(argv[0]).name,
            env=environment,
            stdin=stdin,
            stdout=subprocess.DEVNULL,
        )
        tool.failed_as = OperationFailed
        return tool

    def join(self, pipeline: Pipeline, meter: Meter, stored: IO[bytes]) -> None:
        """Wait for the pipeline; how far it is follows from how much of `stored` was read."""
        tick, total = Throttled(self.progress), self.source.file.size

        def on_tick() -> None:
            tick(self.what, os.lseek(stored.fileno(), 0, os.SEEK_CUR), total)

        pipeline.join(meter, STALL_SECONDS, on_tick, partial(is_active, self.server, self.working, APPLICATION))
