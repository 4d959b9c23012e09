"""Restore into a live server: beside what is there, or in its place once the new one is proven.

A database is restored under a working name, compared with its proof, and only then renamed. In
place, both renames happen in one transaction: whatever is killed, the name always has one whole
database behind it. The old one stays under a name of its own until somebody drops it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
from pydantic import BaseModel, ConfigDict

from engine.errors import ConfigurationError, OperationFailed, PlatformOpsError
from engine.progress import Progress, silent
from engine.repository.repository import Repository
from engine.repository.restoring import restoring
from engine.sources.postgres.programs.tools import programs_here
from engine.sources.postgres.proof.compare import compare_databases
from engine.sources.postgres.proof.extensions import lost_members
from engine.sources.postgres.proof.proof import DatabaseProof
from engine.sources.postgres.proof.table_counters import EarlyProof
from engine.sources.postgres.restore.checked_copy import Source, read_source
from engine.sources.postgres.restore.choice import RestoreChoice as RestoreChoice
from engine.sources.postgres.restore.choice import choose as choose
from engine.sources.postgres.restore.database import apply_properties, create_database
from engine.sources.postgres.restore.load import Filling
from engine.sources.postgres.restore.load_archive import fill_from_archive
from engine.sources.postgres.restore.load_text import fill_from_text
from engine.sources.postgres.restore.missing_roles import create_missing_roles
from engine.sources.postgres.restore.renaming import free_name, give_name, made_meanwhile
from engine.sources.postgres.restore.restored_proof import reprinter, restored_proof
from engine.sources.postgres.server.databases import list_databases
from engine.sources.postgres.server.lock import backup_lock
from engine.sources.postgres.server.server import Server
from engine.sources.postgres.server.survey import survey_server
from engine.sources.postgres.server.working import drop_working, working_name
from engine.streams.spool import spool_folder


class RestoredDatabase(BaseModel):
    """What a restore made: `name` is where the database is now, `previous` where the old one went.

    `seconds` is all of it, `compare_seconds` the part that did nothing but compare it with its proof (rows may be
    read before), of whose rows the set has `sample_percent`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    database: str
    set_key: str
    name: str
    previous: str | None
    tables: int
    rows: int
    seconds: float
    compare_seconds: float
    sample_percent: int
    roles_created: tuple[str, ...]
    missing: tuple[str, ...]


def restore_databases(
    repository: Repository,
    server: Server,
    choices: Sequence[RestoreChoice],
    *,
    in_place: bool = False,
    may_replace: bool = True,
    progress: Progress = silent,
) -> tuple[RestoredDatabase, ...]:
    """Restore each chosen database, one after the other, holding the server's backup lock and the sets.

    The choices' sets are of one server. `may_replace`: in place, a live database of that name steps aside; otherwise
    there was none when it was asked, and one that was made since stays.

    Raises:
        LockedByAnother: a backup or another restore of this server runs, or a pruning of the sets does not end.
        OperationFailed: a set is damaged, or what came back is not what was backed up; what was live is untouched.
    """
    if not choices:
        return ()
    facts = survey_server(server)
    run = _Run(repository, server, programs_here(server, facts.major, facts.tls), in_place, may_replace, progress)
    with backup_lock(server, "restore"), _held(run, choices):
        drop_working(server)
        return tuple(_restore(run, choice) for choice in choices)


def live_among(server: Server, choices: Sequence[RestoreChoice]) -> tuple[str, ...]:
    """Those of the chosen databases that the server has: a restore in place would rename them.

    Raises:
        PlatformOpsError: the server cannot be asked.
    """
    present = {found.name for found in list_databases(server)}
    return tuple(choice.database for choice in choices if choice.database in present)


@contextmanager
def _held(run: _Run, choices: Sequence[RestoreChoice]) -> Iterator[None]:
    keys = tuple(dict.fromkeys(choice.key for choice in choices))
    with restoring(run.repository.store, keys, f"restore to {run.server.name}") as problem:
        if problem is not None:
            run.progress(f"no pruning is kept from the sets meanwhile: {problem}")
        yield


@dataclass(frozen=True, slots=True)
class _Run:
    repository: Repository
    server: Server
    programs: Path
    in_place: bool
    may_replace: bool
    progress: Progress


def _restore(run: _Run, choice: RestoreChoice) -> RestoredDatabase:
    began = time.monotonic()
    _check_replaceable(run, choice)
    final = choice.database if run.in_place else free_name(run.server, choice)
    with spool_folder() as spool:
        source = read_source(run.repository, choice, spool, run.progress)
        roles = create_missing_roles(run.server, run.programs, source)
        filling = Filling(source, run.server, working_name(), run.programs, run.progress)
        try:
            rows = _fill(filling)
            filled = time.monotonic()
            found = _proven(filling, rows)
            compared = time.monotonic() - filled
            previous = give_name(run.server, filling.working, final, in_place=run.in_place, replace=run.may_replace)
        except BaseException:
            # What stays is dropped by the next restore or backup; the reason is told.
            with suppress(PlatformOpsError, psycopg.Error):
                drop_working(run.server, filling.working)
            raise
    return RestoredDatabase(
        database=choice.database,
        set_key=str(choice.key),
        name=final,
        previous=previous,
        tables=len(found.tables),
        rows=found.rows,
        seconds=time.monotonic() - began,
        compare_seconds=compared,
        sample_percent=found.sample_percent,
        roles_created=roles,
        missing=(*source.body.missing, *_lost(source, found)),
    )


def _lost(source: Source, found: DatabaseProof) -> tuple[str, ...]:
    return lost_members(source.proof.database, source.proof.extensions, found.extensions)


def _check_replaceable(run: _Run, choice: RestoreChoice) -> None:
    server = run.server
    if run.in_place and not run.may_replace and live_among(server, (choice,)):
        raise made_meanwhile(server, choice.database)
    if run.in_place and choice.database == server.settings.maintenance_database:
        raise ConfigurationError(
            f"{choice.database!r} cannot be replaced while {server.address} is reached through it; restore it beside, "
            f"or set maintenance_database of [servers.{server.name}] to another."
        )


def _fill(filling: Filling) -> Mapping[str, EarlyProof]:
    """Fill the working database; proofs of rows that were taken on the way."""
    rows: Mapping[str, EarlyProof] = {}
    properties = filling.source.proof.properties
    create_database(filling.server, filling.working, properties)
    filling.progress(filling.what, 0, filling.source.file.size)
    if filling.source.file.role == "dump":
        rows = fill_from_archive(filling)
    else:
        fill_from_text(filling)
    apply_properties(filling.server, filling.working, properties)
    return rows


def _proven(filling: Filling, rows: Mapping[str, EarlyProof]) -> DatabaseProof:
    """Compare what was restored with the proof.

    Raises:
        OperationFailed: it is not what was backed up.
    """
    choice, server, programs = filling.source.choice, filling.server, filling.programs
    filling.progress(f"compare {choice.database}")
    expected = filling.source.proof
    found = restored_proof(server, filling.working, programs, expected.sample_percent, rows)
    differences = compare_databases(expected, found, reprinter(server, programs, found.properties))
    if differences:
        first = differences[0]
        raise OperationFailed(
            f"{choice.database!r} from {choice.key} did not come back as it was: {len(differences)} differences, "
            f"first {first.kind} {first.name}; what is live was not touched, try another set."
        )
    return found
