"""Back up: each database is read once, and its snapshot gives the dump, the plain SQL and the proof.

pg_dump writes an uncompressed custom archive. It is packed as the database set's file and, through
`pg_restore --file=-`, as the cluster set's plain SQL; beside it the proof is taken in the same
snapshot. A file gets its name only when every program before it has ended well.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict

from engine.errors import TransientFailure
from engine.postgres import archive, commands
from engine.postgres.embedded import client_programs
from engine.postgres.lock import WORKER
from engine.postgres.proof import DatabaseProof, take_proof
from engine.postgres.roles import dump_globals, read_roles
from engine.postgres.server import READING_SETTINGS, Server
from engine.postgres.snapshot import Snapshot, open_snapshot
from engine.postgres.survey import DatabaseFacts, DatabaseFound, ServerFacts, survey_database, survey_server
from engine.postgres.tools import Tools, tools_for
from engine.progress import Progress, Throttled, silent
from engine.sets import manifest
from engine.sets.keys import SetKey, encoded, new_set_id
from engine.sets.manifest import FileEntry, Timing
from engine.sets.target import Target
from engine.streams.pack import pack_argv, pack_bytes
from engine.streams.pipeline import Meter, Pipeline, Process, pieces_of, pump
from engine.streams.spool import spool_folder
from engine.version import VERSION

GLOBALS = "000-globals"

SESSION_SETTINGS = "".join(f"SET {name} = '{value}';\n" for name, value in READING_SETTINGS.items()).encode()


@dataclass(frozen=True)
class Night:
    """One run of a backup: which server, since when, under which ids.

    `token` makes the ids of its sets: the same token and time give the same ids, so that a retry
    writes to the same place.
    """

    server: Server
    started: datetime
    token: str
    facts: ServerFacts
    programs: Path
    tools: Tools

    @property
    def cluster(self) -> SetKey:
        return SetKey(self.server.name, None, new_set_id(self.started, self.token, "cluster"))

    def database(self, name: str) -> SetKey:
        return SetKey(self.server.name, name, new_set_id(self.started, self.token, "db", name))


class DatabaseBackup(BaseModel):
    """What was stored of one database. Sizes in bytes of stored files, times in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    database: str
    set_key: str
    set_bytes: int
    cluster_files: tuple[FileEntry, ...]
    dump_bytes: int
    tables: int
    rows: int
    large_objects: int
    started: datetime
    seconds: float
    snapshot_seconds: float
    extensions: dict[str, str]
    collations: dict[str, str]
    missing: tuple[str, ...]


class ClusterBackup(BaseModel):
    """What was stored of a whole server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    set_key: str
    bytes: int
    files: int
    missing: tuple[str, ...]


def begin(server: Server, token: str, started: datetime | None = None) -> Night:
    """Check the server and the tools before anything is read.

    Raises:
        ConfigurationError: no tools that fit, or a role that may not read everything.
    """
    facts = survey_server(server)
    tools = tools_for(server, facts.major)
    # pg_restore runs here, whatever reads the server; it must know the archives of the pg_dump there.
    programs = tools.folder if isinstance(tools.folder, Path) else client_programs(tools.version[0])
    return Night(server, started or datetime.now(UTC), token, facts, programs, tools)


def ordinals(databases: Iterable[DatabaseFound]) -> dict[str, int]:
    """The number of each database in the cluster set's files: the order of a restore."""
    return {database.name: number for number, database in enumerate(databases, 1)}


@dataclass
class _Work:
    """One database being backed up. Everything it stores is in `stored`, to be taken back on failure."""

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


def backup_database(
    night: Night, database: DatabaseFound, ordinal: int, target: Target, progress: Progress = silent
) -> DatabaseBackup:
    """Dump one database and prove the dump; publish its database set, store its part of the cluster set.

    On any error everything it stored is taken back.

    Raises:
        PlatformOpsError: one sentence; TransientFailure where a new try may help.
    """
    work = _Work(night, target, database, ordinal, progress)
    started, began = datetime.now(UTC), time.monotonic()
    try:
        with open_snapshot(night.server, database.name, WORKER) as snapshot, spool_folder() as folder:
            facts = survey_database(snapshot.connection, database.name)
            _dump(work, snapshot, folder, facts.encoding)
            held = snapshot.held_seconds
        return _publish(work, facts, started, time.monotonic() - began, held)
    except BaseException:
        target.store.delete(work.keys)
        raise


def _dump(work: _Work, snapshot: Snapshot, folder: Path, encoding: str) -> None:
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


def _branches(work: _Work, pipeline: Pipeline, dump: Process, head: archive.Head, kept: IO[bytes]) -> None:
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


def _write_preamble(work: _Work, head: archive.Head, sink: IO[bytes]) -> None:
    existing = work.name in ("postgres", "template1")
    if existing:
        sink.write(f"\\connect {work.name}\n".encode())
    sink.write(head.preamble(create=not existing, settings=SESSION_SETTINGS))
    sink.write(body_marker(work.night.cluster.set_id))


def _store_dump(work: _Work, packed: Process, upstream: Sequence[Process]) -> None:
    key = work.key.prefix + work.dump_name
    work.dump = _store(work, key, packed, upstream, kind="dump")


def _store_text(work: _Work, packed: Process, upstream: Sequence[Process]) -> None:
    key = work.night.cluster.prefix + work.text_name
    work.text = _store(work, key, packed, upstream, kind="sql")


def _store(work: _Work, key: str, packed: Process, upstream: Sequence[Process], kind: str) -> FileEntry:
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


def _prove(work: _Work, snapshot: Snapshot, head: archive.Head) -> None:
    work.proof = take_proof(snapshot.connection, work.name, head.schema(), head.sequences())


def _watch(work: _Work, snapshot: Snapshot, tick: Throttled) -> None:
    tick(f"dump {work.name}", work.meter.bytes, 0)
    limit = work.night.server.settings.snapshot_limit_minutes
    if snapshot.held_seconds > limit * 60:
        raise TransientFailure(
            f"The snapshot of database {work.name!r} was held longer than {limit:g} minutes and was given up "
            "(it holds back vacuum); raise snapshot_limit_minutes or look at why the dump is slow."
        )


def store_bytes(target: Target, key: str, data: bytes, kind: str, database: str | None) -> FileEntry:
    """Pack and store something small."""
    packed = pack_bytes(data, target.recipients)
    with target.store.writer(key, expected_bytes=len(packed)) as writer:
        writer.write(packed)
    return FileEntry.model_validate(
        {
            "name": key.rpartition("/")[2],
            "size": len(packed),
            "sha256": hashlib.sha256(packed).hexdigest(),
            "kind": kind,
            "database": database,
        }
    )


def _store_globals(night: Night, target: Target, prefix: str) -> tuple[FileEntry, FileEntry]:
    suffix = ".gz.age" if target.recipients else ".gz"
    with night.server.connect(application=WORKER) as connection:
        roles = read_roles(connection)
    text = SESSION_SETTINGS + dump_globals(night.server, night.tools, WORKER)
    proof = json.dumps({name: role.model_dump() for name, role in roles.items()}, ensure_ascii=False)
    return (
        store_bytes(target, f"{prefix}{GLOBALS}.sql{suffix}", text, "globals", None),
        store_bytes(target, f"{prefix}{GLOBALS}.proof.json{suffix}", proof.encode(), "proof", None),
    )


def _publish(
    work: _Work, facts: DatabaseFacts, started: datetime, seconds: float, held: float
) -> DatabaseBackup:
    assert work.proof is not None and work.dump is not None and work.text is not None  # noqa: S101 - join saw them end
    proof = work.proof.model_dump_json().encode()
    prefix = work.key.prefix
    own_proof = store_bytes(work.target, prefix + work.proof_name, proof, "proof", work.name)
    cluster_proof = store_bytes(
        work.target, work.night.cluster.prefix + work.cluster_proof_name, proof, "proof", work.name
    )
    files = (*_store_globals(work.night, work.target, prefix), work.dump, own_proof)
    _write_manifest(
        work.night,
        work.target,
        work.key,
        files,
        extensions={work.name: facts.extensions},
        collations={work.name: facts.collations},
        timings={work.name: Timing(started=started, seconds=seconds)},
        snapshot_seconds={work.name: held},
        missing=(*facts.missing, *facts.alone),
    )
    return DatabaseBackup(
        database=work.name,
        set_key=str(work.key),
        set_bytes=sum(file.size for file in files),
        cluster_files=(work.text, cluster_proof),
        dump_bytes=work.meter.bytes,
        tables=len(work.proof.tables),
        rows=work.proof.rows,
        large_objects=len(work.proof.large_objects),
        started=started,
        seconds=seconds,
        snapshot_seconds=held,
        extensions=facts.extensions,
        collations=facts.collations,
        missing=facts.missing,
    )


def publish_cluster(
    night: Night, dumped: Sequence[DatabaseBackup], found: Iterable[DatabaseFound], target: Target
) -> ClusterBackup:
    """Store the globals and, last, the manifest: from then on the cluster set exists."""
    key = night.cluster
    missing = (
        *night.facts.missing,
        *(f"database {database.name}: {database.skipped}" for database in found if database.skipped),
        *chain.from_iterable(database.missing for database in dumped),
    )
    files = (
        *_store_globals(night, target, key.prefix),
        *chain.from_iterable(database.cluster_files for database in dumped),
    )
    _write_manifest(
        night,
        target,
        key,
        files,
        extensions={database.database: database.extensions for database in dumped},
        collations={database.database: database.collations for database in dumped},
        timings={d.database: Timing(started=d.started, seconds=d.seconds) for d in dumped},
        snapshot_seconds={database.database: database.snapshot_seconds for database in dumped},
        missing=missing,
    )
    return ClusterBackup(
        set_key=str(key), bytes=sum(file.size for file in files), files=len(files), missing=missing
    )


def _write_manifest(
    night: Night,
    target: Target,
    key: SetKey,
    files: Sequence[FileEntry],
    *,
    extensions: dict[str, dict[str, str]],
    collations: dict[str, dict[str, str]],
    timings: dict[str, Timing],
    snapshot_seconds: dict[str, float],
    missing: Sequence[str],
) -> None:
    body = manifest.Body(
        server=key.server,
        database=key.database,
        set_id=key.set_id,
        created=key.created,
        files=tuple(sorted(files, key=lambda file: file.name)),
        encrypted=bool(target.recipients),
        recipients=target.recipients,
        server_version=night.facts.version,
        client_version=".".join(str(part) for part in night.tools.version),
        product_version=VERSION,
        image=night.tools.host.image,
        system_identifier=night.facts.system_identifier,
        superuser=night.facts.superuser,
        extensions=extensions,
        collations=collations,
        roles=night.facts.roles,
        settings=night.facts.settings,
        timings=timings,
        snapshot_seconds=snapshot_seconds,
        missing=tuple(missing),
    )
    data = manifest.to_json(body, target.digest_key)
    with target.store.writer(key.manifest, expected_bytes=len(data)) as writer:
        writer.write(data)
