"""Read one database once: out of its snapshot come the dump, the plain SQL and the proof.

pg_dump writes an uncompressed custom archive. It is packed as the database set's file and, through
`pg_restore --file=-`, as the cluster set's plain SQL; beside it the proof is taken in the same
snapshot. A file gets its name only when every program before it has ended well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO

from engine.errors import TransientFailure
from engine.postgres import archive, commands
from engine.postgres.lock import WORKER
from engine.postgres.night import Night
from engine.postgres.proof import DatabaseProof, take_proof
from engine.postgres.server import READING_SETTINGS
from engine.postgres.snapshot import Snapshot
from engine.postgres.survey import DatabaseFound
from engine.progress import Progress, Throttled
from engine.sets.keys import SetKey, encoded
from engine.sets.manifest import FileEntry
from engine.sets.target import Target
from engine.streams.pack import pack_argv
from engine.streams.pipeline import Meter, Pipeline, Process, pieces_of, pump

GLOBALS = "000-globals"

SESSION_SETTINGS = "".join(f"SET {name} = '{value}';\n" for name, value in READING_SETTINGS.items()).encode()


@dataclass
class Work:
    """One database being backed up. Everything it may store is in `keys`, to be taken back on failure."""

    night: Night
    target: Target
    database: DatabaseFound
    ordinal: int
    progress: Progress
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
        return tuple(self.key.prefix + name for name in own) + tuple(
            self.night.cluster.prefix + name for name in (self.text_name, self.cluster_proof_name)
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
    night, settings = work.night, work.night.server.settings
    tick = Throttled(work.progress)
    with Pipeline() as pipeline:
        host = night.tools.host
        argv = commands.dump_argv(
            night.tools.folder,
            work.name,
            snapshot.id,
            settings.lock_wait_seconds,
            compress=1 if host.crosses_network else 0,
        )
        program = host.stream(argv, env=night.server.dump_variables(WORKER, encoding))
        dump = pipeline.add(program, name=f"pg_dump of {work.name!r}{host.note}")
        head = archive.head_of(dump, folder, night.programs, settings.stall_minutes * 60)
        pipeline.run(partial(_prove, work, snapshot, head), "proof")
        with head.path.open("rb") as kept:
            _branches(work, pipeline, dump, head, kept)
            pipeline.join(
                work.meter,
                settings.stall_minutes * 60,
                on_tick=lambda: _watch(work, snapshot, tick),
            )


def _branches(work: Work, pipeline: Pipeline, dump: Process, head: archive.Head, kept: IO[bytes]) -> None:
    """Send the archive two ways: packed as it is, and as plain SQL."""
    recipients = work.target.recipients
    text_pack = pipeline.start(pack_argv(recipients), name="packing the SQL")
    _write_preamble(work, head, text_pack.stdin)
    text = pipeline.start(
        commands.archive_text_argv(work.night.programs),
        name="pg_restore to SQL",
        stdout=text_pack.stdin.fileno(),
    )
    text_pack.stdin.close()
    dump_pack = pipeline.start(pack_argv(recipients), name="packing the dump")
    pieces = chain(pieces_of(kept), pieces_of(dump.stdout))
    pipeline.run(partial(pump, pieces, (dump_pack.stdin, text.stdin), work.meter), "read")
    pipeline.run(partial(_store_dump, work, dump_pack, (dump,)), "store the dump")
    pipeline.run(partial(_store_text, work, text_pack, (dump, text)), "store the SQL")


def _write_preamble(work: Work, head: archive.Head, sink: IO[bytes]) -> None:
    existing = work.name in ("postgres", "template1")
    if existing:
        sink.write(f"\\connect {work.name}\n".encode())
    sink.write(head.preamble(create=not existing, settings=SESSION_SETTINGS))
    sink.write(body_marker(work.night.cluster.set_id))


def _store_dump(work: Work, packed: Process, upstream: Sequence[Process]) -> None:
    key = work.key.prefix + work.dump_name
    work.dump = _store(work, key, packed, upstream, kind="dump")


def _store_text(work: Work, packed: Process, upstream: Sequence[Process]) -> None:
    key = work.night.cluster.prefix + work.text_name
    work.text = _store(work, key, packed, upstream, kind="sql")


def _store(work: Work, key: str, packed: Process, upstream: Sequence[Process], kind: str) -> FileEntry:
    digest, size = hashlib.sha256(), 0
    with work.target.store.writer(key, expected_bytes=work.database.size) as writer:
        for piece in pieces_of(packed.stdout):
            digest.update(piece)
            writer.write(piece)
            size += len(piece)
        for process in (*upstream, packed):
            if process.popen.wait():
                raise BrokenPipeError  # leaves nothing; join tells what that process said
    return FileEntry.model_validate(
        {
            "name": key.rpartition("/")[2],
            "size": size,
            "sha256": digest.hexdigest(),
            "kind": kind,
            "database": work.name,
        }
    )


def _prove(work: Work, snapshot: Snapshot, head: archive.Head) -> None:
    work.proof = take_proof(snapshot.connection, work.name, head.schema(), head.sequences())


def _watch(work: Work, snapshot: Snapshot, tick: Throttled) -> None:
    tick(f"dump {work.name}", work.meter.bytes, 0)
    limit = work.night.server.settings.snapshot_limit_minutes
    if snapshot.held_seconds > limit * 60:
        raise TransientFailure(
            f"The snapshot of database {work.name!r} was held longer than {limit:g} minutes and was given up "
            "(it holds back vacuum); raise snapshot_limit_minutes or look at why the dump is slow."
        )
