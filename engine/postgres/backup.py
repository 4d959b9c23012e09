"""Back up a database, then the server: what is published, and what is taken back on failure."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import chain

from pydantic import BaseModel, ConfigDict

from engine.errors import DatabaseDropped, OperationFailed, PlatformOpsError
from engine.postgres.dumping import Work, dump
from engine.postgres.lock import WORKER
from engine.postgres.night import Night
from engine.postgres.publishing import store_bytes, store_globals, write_manifest
from engine.postgres.roles import Roles, read_roles
from engine.postgres.snapshot import open_snapshot
from engine.postgres.survey import DatabaseFacts, DatabaseFound, survey_database, was_dropped
from engine.progress import Progress, silent
from engine.sets.manifest import FileEntry, Timing
from engine.sets.target import Target
from engine.streams.spool import spool_folder


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


def backup_database(
    night: Night,
    database: DatabaseFound,
    ordinal: int,
    target: Target,
    progress: Progress = silent,
    *,
    alone: bool = False,
) -> DatabaseBackup:
    """Dump one database and prove the dump; publish its database set, store its part of the cluster set.

    `alone`: there will be no cluster set, so nothing is stored for one. On any error everything it stored is taken back.

    Raises:
        DatabaseDropped: it is gone, which explains any other error.
        PlatformOpsError: one sentence; TransientFailure where a new try may help.
    """
    work = Work(night, target, database, ordinal, progress, alone)
    started, began = datetime.now(UTC), time.monotonic()
    _check_not_there(work)
    try:
        with open_snapshot(night.server, database.name, WORKER) as snapshot, spool_folder() as folder:
            facts = survey_database(snapshot.connection, database.name)
            roles = read_roles(snapshot.connection)
            dump(work, snapshot, folder, facts.encoding)
            held = snapshot.held_seconds
        return _publish(work, facts, roles, started, time.monotonic() - began, held)
    except BaseException as error:
        with suppress(PlatformOpsError):  # the store may be what failed; the lock's next holder sweeps
            target.store.delete(work.keys)
        if isinstance(error, PlatformOpsError) and was_dropped(night.server, database):
            raise DatabaseDropped(
                f"Database {database.name!r} of {night.server.address} was dropped while the backup ran; no set of "
                "this run holds it, earlier ones do (`list` shows them)."
            ) from None
        raise


def _check_not_there(work: Work) -> None:
    """A try whose manifest could neither be written for certain nor taken back must not be written over: what can be
    seen is whole.

    Raises:
        OperationFailed: the set exists, and stays.
    """
    key, store = work.key, work.target.store
    if key.manifest in store.keys(key.prefix) and store.delete([key.manifest]).retained:
        raise OperationFailed(
            f"{key} in {store.address} was published by a try that then failed, and an object lock holds it; "
            "run the backup again, which makes another one."
        )


def _publish(
    work: Work, facts: DatabaseFacts, roles: Roles, started: datetime, seconds: float, held: float
) -> DatabaseBackup:
    assert work.proof is not None and work.dump is not None  # noqa: S101 - join saw them end
    proof = work.proof.model_dump_json().encode()
    prefix = work.key.prefix
    own_proof = store_bytes(work.target, prefix + work.proof_name, proof, "proof", work.name)
    files = (*store_globals(work.night, work.target, prefix, roles), work.dump, own_proof)
    shared = _shared(work, proof)  # before the manifest: what may fail now is tried again under the same keys
    write_manifest(
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
        cluster_files=shared,
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


def _shared(work: Work, proof: bytes) -> tuple[FileEntry, ...]:
    """The database's part of the cluster set."""
    if work.alone:
        return ()
    assert work.text is not None  # noqa: S101 - join saw it end
    key = work.night.cluster.prefix + work.cluster_proof_name
    return work.text, store_bytes(work.target, key, proof, "proof", work.name)


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
        *store_globals(night, target, key.prefix),
        *chain.from_iterable(database.cluster_files for database in dumped),
    )
    write_manifest(
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


def withdraw_cluster(night: Night, target: Target) -> None:
    """Take back the parts of a cluster set that there will not be: this night's own, and no other run's.

    Raises:
        PlatformOpsError: the store cannot be listed or refuses it.
    """
    prefix = night.cluster.prefix
    stored = list(target.store.keys(prefix))
    if night.cluster.manifest not in stored:
        target.store.delete(stored)
        target.store.sweep(prefix)
