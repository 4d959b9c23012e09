"""Read one database once: out of its snapshot come the dump, the plain SQL and the proof.

pg_dump writes an uncompressed custom archive. It becomes the database set's file and, through
`pg_restore --file=-`, the cluster set's plain SQL (see `branches`); beside it the proof is taken in
the same snapshot. A file gets its name only when every program before it has ended well.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from engine.errors import TransientFailure
from engine.postgres import archive, commands
from engine.postgres.branches import packed_alone, packed_once, packed_twice
from engine.postgres.composing import Composed, Doubt
from engine.postgres.holding import must_hold
from engine.postgres.lock import WORKER
from engine.postgres.night import Night
from engine.postgres.proof import DatabaseProof, plain_name, take_proof
from engine.postgres.server import READING_SETTINGS
from engine.postgres.snapshot import Snapshot
from engine.postgres.survey import DatabaseFound
from engine.postgres.toc import NUMBER
from engine.progress import Progress, Throttled
from engine.sets.keys import SetKey, encoded
from engine.sets.manifest import FileEntry
from engine.sets.target import Target
from engine.streams.pipeline import Meter, Pipeline, Process

GLOBALS = "000-globals"

SESSION_SETTINGS = "".join(f"SET {name} = '{value}';\n" for name, value in READING_SETTINGS.items()).encode()


@dataclass
class Work:
    """One database being backed up. Everything it may store is in `keys`, to be taken back on failure.

    `alone`: its own set is wanted, and no part of a cluster set.
    """

    night: Night
    target: Target
    database: DatabaseFound
    ordinal: int
    progress: Progress
    alone: bool = False
    meter: Meter = field(default_factory=Meter)
    dump: FileEntry | None = None
    text: FileEntry | None = None
    proof: DatabaseProof | None = None

    @property
    def name(self) -> str:
        return self.database.name

    @property
    def suffix(self) -> str:
        return ".gz.age" if self.target.recipients else ".gz"

    @property
    def key(self) -> SetKey:
        return self.night.database(self.name)

    @property
    def keys(self) -> tuple[str, ...]:
        """Every key this work may have written; the manifest's first."""
        own = (
            "manifest.json",
            self.dump_name,
            f"{GLOBALS}.sql{self.suffix}",
            self.proof_name,
            self.roles_name,
        )
        shared = () if self.alone else (self.text_name, self.cluster_proof_name)
        return (
            *(self.key.prefix + name for name in own),
            *(self.night.cluster.prefix + name for name in shared),
        )

    @property
    def dump_name(self) -> str:
        return f"{encoded(self.name)}.dump{self.suffix}"

    @property
    def proof_name(self) -> str:
        return f"{encoded(self.name)}.proof.json{self.suffix}"

    @property
    def roles_name(self) -> str:
        return f"{GLOBALS}.proof.json{self.suffix}"

    @property
    def text_name(self) -> str:
        return f"{self.ordinal:03d}-{encoded(self.name)}.sql{self.suffix}"

    @property
    def cluster_proof_name(self) -> str:
        return f"{self.ordinal:03d}-{encoded(self.name)}.proof.json{self.suffix}"


def body_marker(set_id: str) -> bytes:
    """The line between what makes the database and what is in it; a restore under a new name starts there."""
    return f"-- platform-ops: the contents begin here ({set_id})\n".encode()


def dump(work: Work, snapshot: Snapshot, folder: Path, encoding: str) -> None:
    """Fill `work` with the stored dump, the stored SQL and the proof. `folder` is for what must be on disk.

    Raises:
        PlatformOpsError: what went wrong first; nothing half-written has a name.
    """
    try:
        _dump(work, snapshot, folder, encoding, once=True)
    except Doubt:
        work.progress(f"dump {work.name} again: its rows cannot be packed once for both sets")
        work.meter = Meter()
        _dump(work, snapshot, folder, encoding, once=False)


def _dump(work: Work, snapshot: Snapshot, folder: Path, encoding: str, *, once: bool) -> None:
    night, settings = work.night, work.night.server.settings
    tick = Throttled(work.progress)
    composed = None
    with Pipeline() as pipeline, tempfile.TemporaryDirectory(dir=folder) as own:
        dump = _pg_dump(work, pipeline, snapshot, encoding)
        head = archive.head_of(dump, Path(own), night.programs, settings.stall_minutes * 60)
        pipeline.run(partial(_prove, work, snapshot, head), "proof", silent=True)
        plan = head.data_plan() if once and not work.alone else None
        with head.path.open("rb") as kept:
            if work.alone:
                packed_alone(work, pipeline, dump, kept)
            elif plan is None:
                packed_twice(work, pipeline, dump, kept, _preamble(work, head))
            else:
                composed = packed_once(work, pipeline, dump, kept, _preamble(work, head), plan)
            pipeline.join(
                work.meter,
                settings.stall_minutes * 60,
                on_tick=lambda: _watch(work, snapshot, tick),
            )
    if composed is not None and plan is not None:
        _check(work, composed)


def _pg_dump(work: Work, pipeline: Pipeline, snapshot: Snapshot, encoding: str) -> Process:
    night = work.night
    host = night.tools.host
    argv = commands.dump_argv(
        night.tools.folder,
        work.name,
        snapshot.id,
        night.server.settings.lock_wait_seconds,
        compress=1 if host.crosses_network else 0,
    )
    program = host.stream(argv, env=night.server.dump_variables(WORKER, encoding))
    return pipeline.add(program, name=f"pg_dump of {work.name!r}{host.note}")


def _check(work: Work, composed: Composed) -> None:
    """That what was composed is what was read, told from two sides: the archive's size and the proof's rows.

    Raises:
        Doubt: the size is another; a second dump in the same snapshot gives the right one.
        TransientFailure: the rows are others than the snapshot's; only a new snapshot can tell which are right.
    """
    # Pieces of another length are all that may differ: each has its length before it.
    if (work.meter.bytes - composed.archive_bytes) % NUMBER.size:
        raise Doubt(f"The archive of {work.name!r} is not as long as it was read.")
    assert work.proof is not None  # noqa: S101 - join saw it end
    for (schema, name), rows in composed.rows.items():
        table = plain_name(_text(schema), _text(name))
        proven = work.proof.tables.get(table)
        if proven is not None and proven.rows != rows:
            raise TransientFailure(
                f"The dump of database {work.name!r} has {rows:,} rows of {table} where its proof counted "
                f"{proven.rows:,}; it was not kept. Run the backup again."
            )


def _text(name: bytes) -> str:
    return name.decode("utf8", "backslashreplace")


def _preamble(work: Work, head: archive.Head) -> bytes:
    """What stands before the contents in the SQL: it makes the database and connects to it."""
    existing = work.name in ("postgres", "template1")
    connect = f"\\connect {work.name}\n".encode() if existing else b""
    made = head.preamble(create=not existing, settings=SESSION_SETTINGS)
    return connect + made + body_marker(work.night.cluster.set_id)


def _prove(work: Work, snapshot: Snapshot, head: archive.Head) -> None:
    if not snapshot.held:
        must_hold(snapshot.connection, work.name)
    percent = work.night.server.settings.proof_sample_percent
    work.proof = take_proof(
        snapshot.connection, work.name, head.schema(), head.sequences(), sample_percent=percent
    )


def _watch(work: Work, snapshot: Snapshot, tick: Throttled) -> None:
    tick(f"dump {work.name}", work.meter.bytes, 0)
    limit = work.night.server.settings.snapshot_limit_minutes
    if snapshot.held_seconds > limit * 60:
        raise TransientFailure(
            f"The snapshot of database {work.name!r} was held longer than {limit:g} minutes and was given up "
            "(it holds back vacuum); raise snapshot_limit_minutes or look at why the dump is slow."
        )
