"""One volume into one set: the archive as tar wrote it, and the proof, taken from the same bytes on their way.

The databases of a volume that SQLite holds as they are come last: what else there is has been read by then, and what was
stopped for it runs again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from typing import IO

from engine.errors import DamagedSet, OperationFailed, TransientFailure
from engine.hosts.base import Program
from engine.hosts.machine import in_time
from engine.progress import Progress, Throttled
from engine.repository.writing import SetWriter
from engine.sources.volumes.databases import Database, Hold, find, holding
from engine.sources.volumes.inventory import Mounting, Volume, came_and_went, mounting, now, volume_called
from engine.sources.volumes.keeper import Keeper
from engine.sources.volumes.kinds import VolumeFacts
from engine.sources.volumes.sandbox import READ, Sandbox, go, reading
from engine.sources.volumes.settings import Quiesce
from engine.sources.volumes.stop import Stop
from engine.sources.volumes.streaming import Lines, Passing, Reading, pipe, tar_argv
from engine.sources.volumes.tar_reader import HostileMember, TarReader
from engine.sources.volumes.tree import Entry, line_of
from engine.streams.bounded_buffer import BoundedBuffer
from engine.streams.pack import compressed
from engine.streams.pipeline import Pipeline
from engine.streams.pipes import Meter, pieces_of
from engine.streams.process import Process

ARCHIVE, PROOF, LATE_PROOF = "archive", "proof", "late-proof"
ARCHIVE_NAME, PROOF_NAME, LATE_NAME = "volume.tar", "proof.jsonl", "proof-databases.jsonl"
STORING_SECONDS, _END_SECONDS = 60.0, 60.0
_CHANGED = 1
"""GNU tar's exit code when something changed as it was read (tar manual, "Synopsis")."""
_END = bytes(1024)
_MOST_HELD = 2000
"""Three words of tar's argv each."""


@dataclass
class VolumeBackup:
    """The backup of one volume."""

    sandbox: Sandbox
    keeper: Keeper
    volume: Volume
    quiesce: Quiesce
    out: SetWriter
    progress: Progress
    stall_seconds: float
    reading: Reading = field(default_factory=Reading)
    _tars: list[Process] = field(default_factory=list)
    _stopping: tuple[int, AbstractSet[str], float] = (0, frozenset(), 0.0)
    """Since when (in seconds of the host) nobody else was to write, who was stopped, and since when."""

    def carry_out(self) -> VolumeFacts:
        """Store it.

        Raises:
            TransientFailure: something changed while it was read, or went away.
            OperationFailed: the volume is gone, or holds what no restore takes.
        """
        listed = now(self.sandbox.docker)
        databases = self._databases()
        since = int(self.sandbox.docker.call(("date", "+%s")))
        stopped = self._writers() if self.quiesce == "stop" else ()
        with ExitStack() as stack:
            # Both containers are made before anything stops: they only wait for a word.
            hold = stack.enter_context(holding(self.sandbox, self.volume.name, databases))
            first = stack.enter_context(self._tar(leaving_out=_with_logs(databases), waits=True))
            self._stopping = (since, {each.name for each in stopped}, float("{}.{}".format(*now(self.sandbox.docker))))
            stop = stack.enter_context(Stop(self.keeper, stopped))
            if hold is not None:
                hold.take()
            go(first)
            self._store(stop, hold, first, _paths(databases))
        self._require_the_same(listed)
        seen = self.reading
        return VolumeFacts(
            volume=self.volume.name,
            quiesce=self.quiesce,
            files=seen.entries,
            folders=seen.folders,
            bytes=seen.size,
            links_out=seen.links_out,
            databases=tuple(seen.databases),
            stopped=tuple(each.name for each in stopped),
            down_seconds=stop.seconds,
            labels=dict(self.volume.labels),
        )

    def _databases(self) -> tuple[Database, ...]:
        """Those that are held as they are.

        Raises:
            OperationFailed: one cannot be, and nothing else brings it to rest.
        """
        if self.quiesce == "none" or (self.quiesce == "stop" and self.sandbox.python is None):
            return ()
        found = find(self.sandbox, self.volume.name)
        if self.quiesce == "sqlite" and (other := next((each for each in found if not each.wal), None)):
            raise OperationFailed(
                f"The database {other.path!r} of {self.volume.name} is not in WAL mode (or has a second name, or one that is no "
                "UTF-8), so it cannot be held as it is without stopping who writes to it: give the volume `stop`."
            )
        wanted = tuple(each for each in found if each.wal)
        if len(wanted) > _MOST_HELD:
            raise OperationFailed(
                f"{self.volume.name} has {len(wanted)} databases, and {_MOST_HELD} can be held at once: give it `none`, or "
                "keep them in several volumes."
            )
        return wanted

    def _writers(self) -> tuple[Mounting, ...]:
        return tuple(each for each in mounting(self.sandbox.docker, self.volume) if each.running and each.writes)

    def _tar(
        self, leaving_out: Sequence[str] = (), only: Sequence[str] = (), *, waits: bool = False
    ) -> AbstractContextManager[Program]:
        argv = tar_argv(self.sandbox.tar, leaving_out, only)
        return self.sandbox.piped("read", argv, (reading(self.volume.name),), READ, waits=waits)

    def _store(self, stop: Stop, hold: Hold | None, first: Program, later: Sequence[str]) -> None:
        meter, tick, label = Meter(), Throttled(self.progress), f"read {self.volume.name}"
        proof_out, proof_in = pipe()
        # Nothing is read or stored on once it is over, whoever wrote into it: what was stopped waits for that.
        with Pipeline() as pipeline, closing(BoundedBuffer()) as archive:
            pipeline.run(partial(self._store_archive, archive), "store the archive", patience=STORING_SECONDS)
            proof = partial(self.out.add_packed, PROOF_NAME, proof_out, PROOF, encrypt_here=True)
            proven = partial(proof, whole=lambda: self.reading.read)
            pipeline.run(proven, "store the proof", patience=STORING_SECONDS, silent=True)
            read = partial(self._read, pipeline, archive, proof_in, meter, stop, hold, first, later)
            pipeline.run(read, "read", patience=STORING_SECONDS)
            try:
                pipeline.join(meter, self.stall_seconds, lambda: tick(label, meter.bytes))
            except OperationFailed:
                self._require_unchanged()  # which says more than that the program failed
                raise
        if self.reading.late:
            self.out.add(LATE_NAME, b"".join(self.reading.late), LATE_PROOF)

    def _store_archive(self, archive: BoundedBuffer) -> None:
        try:
            self.out.add_pieces(ARCHIVE_NAME, compressed(archive), ARCHIVE, whole=lambda: self.reading.read)
        finally:
            archive.leave()

    def _read(
        self,
        pipeline: Pipeline,
        sink: BoundedBuffer,
        proof_in: IO[bytes],
        meter: Meter,
        stop: Stop,
        hold: Hold | None,
        first: Program,
        later: Sequence[str],
    ) -> None:
        """The volume but for its held databases, then those, as one archive."""
        with proof_in, sink:
            proof, late = Lines(proof_in), self.reading.late
            self._one(pipeline, first, sink, meter, proof.add)
            self._require_none_born(later)
            if self.quiesce == "stop":
                self._require_stopped()
                stop.over()
            if later:
                with self._tar(only=later) as program:
                    self._one(pipeline, program, sink, meter, lambda entry: late.append(line_of(entry)))
            if hold is not None:
                hold.require_whole()
            sink.write(_END)
            proof.end()
            self.reading.read = True

    def _one(
        self, pipeline: Pipeline, program: Program, sink: BoundedBuffer, meter: Meter, add: Callable[[Entry], None]
    ) -> None:
        """One run of tar, passed on without the marker of its end."""
        process = pipeline.add(program, name=f"tar of {self.volume.name}")
        self._tars.append(process)
        passing = Passing(pieces_of(process.stdout), sink, meter)
        reader = passing.reader = TarReader(passing, trusted=True, alive=partial(meter.add, 0))
        try:
            for entry, changed in reader.entries():
                self.reading.add(entry, changed)
                add(entry)
        except HostileMember as error:
            raise OperationFailed(f"{self.volume.name}: {error} Remove it, or its volume cannot be kept.") from None
        except DamagedSet as error:  # it was ended in the middle
            self._require_ended_well(process)
            raise OperationFailed(f"{self.volume.name}: {error}") from None
        self._require_ended_well(process)
        self.reading.size += reader.end or 0

    @staticmethod
    def _require_ended_well(process: Process) -> None:
        with in_time():
            code = process.popen.wait(_END_SECONDS)
        if code != 0:
            raise process.failure()

    def _require_unchanged(self) -> None:
        """Nothing changed or vanished as tar read it.

        Raises:
            TransientFailure: something did.
        """
        for tar in self._tars:
            if tar.popen.returncode == _CHANGED:
                says = tar.says().replace(f"{self.sandbox.tar}: ", "").replace("./", "")
                raise TransientFailure(
                    f"{self.volume.name} changed while it was read, so nothing was stored: {says} Try again; where it "
                    "keeps changing, give the volume `stop`."
                )

    def _require_none_born(self, held: Sequence[str]) -> None:
        """No database was read as it was being written to.

        Raises:
            TransientFailure: one was made since they were looked for.
        """
        if self.quiesce == "sqlite" and (
            born := next((path for path in self.reading.whole_databases if path not in held), None)
        ):
            raise TransientFailure(
                f"The database {born!r} of {self.volume.name} was made, or put in place of another, while the volume was read, "
                "so nothing was stored; start again."
            )

    def _require_stopped(self) -> None:
        """Nobody started what was stopped, or another writer, before all was read; also none who is gone again."""
        self.keeper.require()
        since, stopped, moment = self._stopping
        came = set(came_and_went(self.sandbox.docker, self.volume.name, since)) - stopped
        came |= {
            each.name
            for each in mounting(self.sandbox.docker, self.volume)
            if each.writes and (each.running or each.started > moment)
        }
        if started := sorted(came):
            raise TransientFailure(
                f"{', '.join(started)} was started while {self.volume.name} was read, so nothing was stored; start again."
            )

    def _require_the_same(self, listed: tuple[int, str]) -> None:
        """The volume is the one that was listed (at `listed`, as `now` says it): an engine makes a new one, which is
        empty, where a container asks for one that is gone. One that was made just before the run may be empty, too.

        Raises:
            OperationFailed: it is another.
        """
        found, seen = volume_called(self.sandbox.docker, self.volume.name), self.reading
        second, part = listed
        nanoseconds = second * 10**9 + int(part.ljust(9, "0")) if part else (second + 1) * 10**9
        made_since = seen.entries == 0 and seen.folders == 1 and seen.root_changed >= nanoseconds
        if found is None or found.labels != self.volume.labels or made_since:
            raise OperationFailed(f"The volume {self.volume.name} vanished while it was read; nothing was stored.")


def _paths(databases: Sequence[Database]) -> list[str]:
    """In the order of an archive."""
    return sorted((each.path for each in databases), key=lambda path: os.fsencode(path).split(b"/"))


def _with_logs(databases: Sequence[Database]) -> list[str]:
    """What is left out while the databases are held: they come later, and what is in their logs is not theirs yet."""
    return [path for each in databases for path in (each.path, *each.beside)]
