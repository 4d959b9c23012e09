"""One volume into one set: the archive as tar wrote it, and the proof, taken from the same bytes on their way.

The databases of a volume that SQLite holds as they are come last: what else there is has been read by then, and what was
stopped for it runs again.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import IO

from engine.errors import DamagedSet, OperationFailed, TransientFailure
from engine.hosts.ending import children_spared
from engine.hosts.machine import in_time
from engine.progress import Progress, Throttled
from engine.repository.writing import SetWriter
from engine.sources.volumes.databases import Database, Hold, find, held
from engine.sources.volumes.inventory import Mounting, Volume, mounting, volume_called
from engine.sources.volumes.keeper import Keeper
from engine.sources.volumes.kinds import VolumeFacts
from engine.sources.volumes.sandbox import READ, VOLUME, Sandbox, reading
from engine.sources.volumes.settings import Quiesce
from engine.sources.volumes.tar_reader import HostileMember, TarReader, leads_out
from engine.sources.volumes.tree import ROOT, Entry, line_of
from engine.streams.pack import pack_argv, widen
from engine.streams.pipeline import Pipeline
from engine.streams.pipes import Meter, pieces_of, write_all
from engine.streams.process import Process

ARCHIVE, PROOF, LATE_PROOF = "archive", "proof", "late-proof"
ARCHIVE_NAME, PROOF_NAME, LATE_NAME = "volume.tar", "proof.jsonl", "proof-databases.jsonl"
STORING_SECONDS, _END_SECONDS = 60.0, 60.0
_CHANGED = 1
"""GNU tar's exit code when something changed as it was read (tar manual, "Synopsis")."""
_END = bytes(1024)


def tar_argv(tar: str, leaving_out: Sequence[str] = (), only: Sequence[str] = ()) -> tuple[str, ...]:
    """What writes a volume to stdout, with all that a file system knows of a file."""
    kept = ("--format=posix", "--numeric-owner", "--sort=name", "--sparse", "--acls", "--xattrs", "--xattrs-include=*")
    without = ("--xattrs-exclude=security.selinux", "--xattrs-exclude=security.ima", "--xattrs-exclude=security.evm")
    exact = ("--anchored", "--no-wildcards", *(f"--exclude=./{path}" for path in leaving_out))
    what = ("--no-recursion", "--", *(f"./{path}" for path in only)) if only else ("--", ".")
    return (tar, "--create", "--file=-", f"--directory={VOLUME}", *kept, *without, *exact, *what)


@dataclass
class Reading:
    """What has been read of one volume, and who was stopped for it."""

    entries: int = 0
    folders: int = 0
    links_out: int = 0
    root_changed: int = 0
    size: int = 0
    databases: list[str] = field(default_factory=list)
    late: list[bytes] = field(default_factory=list)
    read: bool = False

    def add(self, entry: Entry, changed: int) -> None:
        if entry.path == ROOT:
            self.root_changed = changed // 10**9
        self.folders += entry.type == "folder"
        self.entries += entry.type != "folder"
        self.links_out += leads_out(entry)
        if entry.database:
            self.databases.append(entry.path)


@dataclass
class Stop:
    """Containers that are stopped, until `over`: once, whoever asks first."""

    keeper: Keeper
    containers: Sequence[Mounting]
    seconds: float = 0.0
    began: float = 0.0
    _once: threading.Lock = field(default_factory=threading.Lock)
    _ids: tuple[str, ...] = ()

    def __enter__(self) -> Stop:
        if once := [each.name for each in self.containers if each.removed_when_stopped]:
            raise OperationFailed(
                f"{', '.join(once)} was started with --rm: to stop it would be to remove it; start it without, or stop it yourself."
            )
        if self.containers:
            self.began, self._ids = time.monotonic(), tuple(each.id for each in self.containers)
            try:
                self.keeper.stop(self._ids)
            except BaseException:
                self.over()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        self.over()

    def over(self) -> None:
        """Start them again.

        Raises:
            PlatformOpsError: they do not start; the keeper goes on trying.
        """
        with self._once:
            if self._ids:
                with children_spared():
                    self.keeper.start(self._ids)
                self._ids = ()
                self.seconds = time.monotonic() - self.began


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

    def carry_out(self) -> VolumeFacts:
        """Store it.

        Raises:
            TransientFailure: something changed while it was read, or went away.
            OperationFailed: the volume is gone, or holds what no restore takes.
        """
        listed = int(self.sandbox.docker.call(("date", "+%s")))
        databases = self._databases()
        stopped = self._writers() if self.quiesce == "stop" else ()
        with ExitStack() as stack:
            stop = stack.enter_context(Stop(self.keeper, stopped))
            hold = stack.enter_context(held(self.sandbox, self.volume.name, databases))
            self._store(stop, hold, databases)
        self._require_the_same(listed)
        reading = self.reading
        return VolumeFacts(
            volume=self.volume.name,
            quiesce=self.quiesce,
            files=reading.entries,
            folders=reading.folders,
            bytes=reading.size,
            links_out=reading.links_out,
            databases=tuple(reading.databases),
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
                f"The database {other.path} of {self.volume.name} is not in WAL mode, so it cannot be held as it is without "
                "stopping who writes to it: give the volume `stop`."
            )
        return tuple(each for each in found if each.wal)

    def _writers(self) -> tuple[Mounting, ...]:
        return tuple(each for each in mounting(self.sandbox.docker, self.volume.name) if each.running and each.writes)

    def _store(self, stop: Stop, hold: Hold | None, databases: Sequence[Database]) -> None:
        meter, recipients = Meter(), self.out.repository.recipients
        tick = Throttled(self.progress)
        proof_out, proof_in = _pipe()
        with Pipeline() as pipeline:
            packed = pipeline.start(pack_argv(recipients), name="packing")
            store = partial(self.out.add_packed, ARCHIVE_NAME, packed.stdout, ARCHIVE)
            pipeline.run(
                partial(store, whole=lambda: not packed.popen.wait() and self.reading.read, seal_here=False),
                "store the archive",
                patience=STORING_SECONDS,
            )
            prove = partial(self.out.add_packed, PROOF_NAME, proof_out, PROOF)
            pipeline.run(
                partial(prove, whole=lambda: self.reading.read, seal_here=True),
                "store the proof",
                patience=STORING_SECONDS,
                silent=True,
            )
            read = partial(self._read, pipeline, packed.stdin, proof_in, meter, stop, hold, databases)
            pipeline.run(read, "read", patience=STORING_SECONDS)
            label = f"read {self.volume.name}"
            try:
                pipeline.join(meter, self.stall_seconds, lambda: tick(label, meter.bytes))
            except OperationFailed:
                self._require_unchanged()  # which says more than that the program failed
                raise
        if self.reading.late:
            self.out.add(LATE_NAME, b"".join(self.reading.late), LATE_PROOF)

    def _read(
        self,
        pipeline: Pipeline,
        sink: IO[bytes],
        proof_in: IO[bytes],
        meter: Meter,
        stop: Stop,
        hold: Hold | None,
        databases: Sequence[Database],
    ) -> None:
        """The volume but for its held databases, then those, as one archive."""
        later = sorted((each.path for each in databases), key=lambda path: os.fsencode(path).split(b"/"))
        beside = [path for each in databases for path in each.beside]
        with sink, proof_in:
            press = _Lines(proof_in)
            self._one(pipeline, tar_argv(self.sandbox.tar, [*later, *beside]), sink, meter, press.add)
            if self.quiesce == "stop":
                self._require_stopped()
                stop.over()
            if later:
                late = self.reading.late
                self._one(
                    pipeline,
                    tar_argv(self.sandbox.tar, (), later),
                    sink,
                    meter,
                    lambda entry: late.append(line_of(entry)),
                )
            if hold is not None:
                hold.require_whole()
            write_all(sink, _END)
            press.end()
            self.reading.read = True

    def _one(
        self, pipeline: Pipeline, argv: Sequence[str], sink: IO[bytes], meter: Meter, add: Callable[[Entry], None]
    ) -> None:
        """One run of tar, passed on without the marker of its end."""
        with self.sandbox.stream("read", argv, (reading(self.volume.name),), READ) as program:
            process = pipeline.add(program, name=f"tar of {self.volume.name}")
            self._tars.append(process)
            passing = _Passing(pieces_of(process.stdout), sink, meter)
            reader = TarReader(passing)
            passing.reader = reader
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

    def _require_stopped(self) -> None:
        """Nobody started what was stopped, or another writer, before all was read."""
        self.keeper.require()
        if started := [each.name for each in self._writers()]:
            raise TransientFailure(
                f"{', '.join(started)} was started while {self.volume.name} was read, so nothing was stored; start again."
            )

    def _require_the_same(self, listed: int) -> None:
        """The volume is the one that was listed (at `listed`, in seconds of its host): an engine makes a new one, which
        is empty, where a container asks for one that is gone.

        Raises:
            OperationFailed: it is another.
        """
        found, reading = volume_called(self.sandbox.docker, self.volume.name), self.reading
        empty_since = reading.root_changed if reading.entries == 0 and reading.folders == 1 else 0
        if found is None or found.labels != self.volume.labels or empty_since >= listed:
            raise OperationFailed(f"The volume {self.volume.name} vanished while it was read; nothing was stored.")


class _Passing:
    """Pieces on their way to a sink: each is passed on once all of it has been looked at, up to the archive's end."""

    def __init__(self, pieces: Iterable[bytes], sink: IO[bytes], meter: Meter) -> None:
        self._pieces, self._sink, self._meter = pieces, sink, meter
        self.reader: TarReader | None = None

    def __iter__(self) -> Iterator[bytes]:
        passed = 0
        for piece in self._pieces:
            yield piece
            end = self.reader.end if self.reader else None
            kept = piece if end is None else piece[: max(0, end - passed)]
            write_all(self._sink, kept)
            passed += len(piece)
            self._meter.add(len(piece))


class _Lines:
    """Lines of a proof, gzipped on their way to a pipe."""

    def __init__(self, sink: IO[bytes]) -> None:
        from isal import isal_zlib

        self._sink = sink
        self._press = isal_zlib.compressobj(1, isal_zlib.DEFLATED, 31)
        self._held: list[bytes] = []
        self._size = 0

    def add(self, entry: Entry) -> None:
        line = line_of(entry)
        self._held.append(line)
        self._size += len(line)
        if self._size > 1 << 18:
            self._flush()

    def _flush(self) -> None:
        if piece := self._press.compress(b"".join(self._held)):
            write_all(self._sink, piece)
        self._held, self._size = [], 0

    def end(self) -> None:
        self._flush()
        write_all(self._sink, self._press.flush())


def _pipe() -> tuple[IO[bytes], IO[bytes]]:
    reading, writing = os.pipe()
    widen(writing)
    return os.fdopen(reading, "rb", buffering=0), os.fdopen(writing, "wb", buffering=0)
