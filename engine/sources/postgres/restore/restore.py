"""Restore into a live server: beside what is there, or in its place once the new one is proven.

A database is restored under a working name, compared with its proof, and only then renamed. In
place, both renames happen in one transaction: whatever is killed, the name always has one whole
database behind it. The old one stays under a name of its own until somebody drops it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
from pydantic import BaseModel, ConfigDict

from engine.errors import ConfigurationError, CouldNotVerify, OperationFailed, PlatformOpsError
from engine.progress import Progress, silent
from engine.repository.findings import Difference
from engine.repository.repository import Repository
from engine.repository.restoring import restoring
from engine.sources.postgres.programs.tools import programs_here
from engine.sources.postgres.proof.compare import compare_databases
from engine.sources.postgres.proof.extensions import lost_members
from engine.sources.postgres.proof.proof import DatabaseProof
from engine.sources.postgres.proof.views import other_rows
from engine.sources.postgres.restore.checked_copy import Source, read_source
from engine.sources.postgres.restore.choice import ALL_THE_SAME
from engine.sources.postgres.restore.choice import RestoreChoice as RestoreChoice
from engine.sources.postgres.restore.choice import choose as choose
from engine.sources.postgres.restore.database import apply_properties, create_database
from engine.sources.postgres.restore.despite_errors import fill_despite_errors
from engine.sources.postgres.restore.load.archive import fill_from_archive
from engine.sources.postgres.restore.load.job import LoadJob
from engine.sources.postgres.restore.load.text import fill_from_text, object_of
from engine.sources.postgres.restore.missing_roles import MadeRoles, create_missing_roles
from engine.sources.postgres.restore.owners import acting_for_owners, owners_may_create
from engine.sources.postgres.restore.refused import refused
from engine.sources.postgres.restore.renaming import drop_spare, free_name, give_name, made_meanwhile
from engine.sources.postgres.restore.restored_proof import reprinter, restored_proof
from engine.sources.postgres.restore.target import look_at, omissions_of, omitted_extensions
from engine.sources.postgres.server.databases import list_databases
from engine.sources.postgres.server.holds import OWN, is_spare
from engine.sources.postgres.server.lock import backup_lock
from engine.sources.postgres.server.server import Server
from engine.sources.postgres.server.working import drop_working, working_name
from engine.streams.spool import spool_folder


class RestoredDatabase(BaseModel):
    """What a restore made: `name` is where the database is now, `previous` where the old one went.

    `seconds` is all of it, `compare_seconds` the part that did nothing but compare it with its proof (rows may be
    read before), of whose rows the set has `sample_percent`. `refused` is what the server did not take and `differences`
    what is not as it was: both are empty but where that was asked for. `roles_lack` is what the server's role could not
    give to the created ones.
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
    roles_lack: tuple[str, ...] = ()
    roles_without_password: tuple[str, ...] = ()
    missing: tuple[str, ...]
    refused: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()

    @property
    def is_equal(self) -> bool:
        """Whether it is what was backed up."""
        return not (self.refused or self.differences)


def restore_databases(
    repository: Repository,
    server: Server,
    choices: Sequence[RestoreChoice],
    *,
    in_place: bool = False,
    may_replace: bool = True,
    despite_errors: bool = False,
    progress: Progress = silent,
) -> tuple[RestoredDatabase, ...]:
    """Restore each chosen database, one after the other, holding the server's backup lock and the sets.

    The choices' sets are of one server. `may_replace`: in place, a live database of that name steps aside; otherwise
    there was none when it was asked, and one that was made since stays. `despite_errors`: where a database does not
    come back as it was, what does is taken all the same, and what does not is named.

    Raises:
        LockedByAnother: a backup or another restore of this server runs, or a pruning of the sets does not end.
        OperationFailed: a set is damaged, or what came back is not what was backed up; what was live is untouched.
    """
    if not choices:
        return ()
    if in_place:
        server = _beside(server, choices)
    facts = look_at(server)
    programs = programs_here(server, facts.major, facts.tls)
    run = _Run(repository, server, programs, facts.superuser_rights, in_place, may_replace, despite_errors, progress)
    with backup_lock(server, "restore") as held, _held(run, choices):
        run = replace(run, server=held.server)
        drop_working(run.server)
        return tuple(_restore(run, choice) for choice in choices)


def live_among(server: Server, choices: Sequence[RestoreChoice]) -> tuple[str, ...]:
    """Those of the chosen databases that the server has: a restore in place would rename them. Not its own ones where
    they hold nothing.

    Raises:
        PlatformOpsError: the server cannot be asked.
    """
    present = {found.name for found in list_databases(server)}
    return tuple(
        choice.database for choice in choices if choice.database in present and not is_spare(server, choice.database)
    )


def _beside(server: Server, choices: Sequence[RestoreChoice]) -> Server:
    """The server, reached through a database whose place nobody takes: its sessions are not ended."""
    taken = {choice.database for choice in choices}
    if server.settings.maintenance_database not in taken:
        return server
    other = next((name for name in OWN if name not in taken), None)
    if other is None:
        raise ConfigurationError(
            f"{' and '.join(OWN)} of {server.address} cannot both be replaced at once; restore one after the other."
        )
    return replace(server, settings=server.settings.model_copy(update={"maintenance_database": other}))


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
    superuser: bool
    in_place: bool
    may_replace: bool
    despite_errors: bool
    progress: Progress


def _restore(run: _Run, choice: RestoreChoice) -> RestoredDatabase:
    began = time.monotonic()
    _check_replaceable(run, choice)
    final = choice.database if run.in_place else free_name(run.server, choice)
    with spool_folder() as spool:
        source = read_source(run.repository, choice, spool, run.progress)
        roles, without = _roles(run, source)
        omitted = omitted_extensions(run.server, source.proof)
        job = LoadJob(source, run.server, working_name(), run.programs, run.progress, run.superuser, omitted)
        with _for_owners(run, source, final):
            made, previous = _made_and_named(run, job, final)
    return RestoredDatabase(
        database=choice.database,
        set_key=str(choice.key),
        name=final,
        previous=previous,
        tables=len(made.found.tables),
        rows=made.found.rows,
        seconds=time.monotonic() - began,
        compare_seconds=made.compare_seconds,
        sample_percent=made.found.sample_percent,
        roles_created=roles.created,
        roles_lack=roles.lack,
        roles_without_password=roles.without_password,
        missing=(*source.body.missing, *_lost(source, made.found), *omissions_of(choice.database, omitted)),
        refused=(*without, *made.refused),
        differences=made.differences,
    )


def _made_and_named(run: _Run, job: LoadJob, final: str) -> tuple[_Made, str | None]:
    try:
        return _made(run, job), _named(run, job, final)
    except BaseException:
        # What stays is dropped by the next restore or backup; the reason is told.
        with suppress(PlatformOpsError, psycopg.Error):
            drop_working(run.server, job.working)
        raise


def _for_owners(run: _Run, source: Source, final: str) -> AbstractContextManager[None]:
    """A superuser needs nothing of it."""
    if run.superuser:
        return nullcontext()
    return acting_for_owners(run.server, source.proof, [final], required=not run.despite_errors)


def _roles(run: _Run, source: Source) -> tuple[MadeRoles, tuple[str, ...]]:
    """The roles that were created, and why some were not where that was accepted."""
    try:
        return create_missing_roles(run.server, run.programs, source), ()
    except OperationFailed as error:
        if not run.despite_errors or error.retryable:
            raise
        return MadeRoles(), (str(error),)


def _named(run: _Run, job: LoadJob, final: str) -> str | None:
    """Give the database its name; that of the live one which made place. One that held nothing is dropped."""
    server = run.server
    spare = run.in_place and final in OWN and final in _present(server) and is_spare(server, final)
    replaces = run.may_replace or spare
    previous = give_name(server, job.working, final, in_place=run.in_place, replace=replaces)
    if not (spare and previous and is_spare(server, previous, like=final)):
        return previous
    return None if drop_spare(server, previous) else previous


def _present(server: Server) -> set[str]:
    return {found.name for found in list_databases(server)}


@dataclass(frozen=True, slots=True)
class _Made:
    """What the working database came to: `refused` and `differences` as in `RestoredDatabase`."""

    found: DatabaseProof
    compare_seconds: float
    refused: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()


def _made(run: _Run, job: LoadJob) -> _Made:
    try:
        _fill(job)
        filled = time.monotonic()
        return _Made(_proven(job), time.monotonic() - filled)
    except (OperationFailed, CouldNotVerify) as error:
        if not run.despite_errors or error.retryable:
            raise
        run.progress(f"{error} What comes back all the same is taken.")
    drop_working(run.server, job.working)
    refused = fill_despite_errors(job)
    filled = time.monotonic()
    found, differences = _compared(job)
    differing = tuple(f"{one.kind} {one.name}" for one in differences)
    return _Made(found, time.monotonic() - filled, refused, differing)


def _lost(source: Source, found: DatabaseProof) -> tuple[str, ...]:
    expected = source.proof
    return (
        *lost_members(expected.database, expected.extensions, found.extensions),
        *other_rows(expected, found),
    )


def _check_replaceable(run: _Run, choice: RestoreChoice) -> None:
    server = run.server
    if run.in_place and not run.may_replace and live_among(server, (choice,)):
        raise made_meanwhile(server, choice.database)


def _fill(job: LoadJob) -> None:
    properties = job.source.proof.properties
    create_database(job.server, job.working, properties)
    job.progress(job.what, 0, job.source.file.size)
    is_archive = job.source.file.role == "dump"
    try:
        apply_properties(job.server, job.working, properties)  # rows are checked under what the database sets
        with _owners_may_create(job):
            if is_archive:
                fill_from_archive(job)
            else:
                fill_from_text(job)
    except OperationFailed as error:
        if type(error) is not OperationFailed:
            raise
        named = "" if is_archive else object_of(job, str(error))
        raise refused(error, str(error), job.server.address, named, superuser=job.superuser) from None


def _owners_may_create(job: LoadJob) -> AbstractContextManager[None]:
    if job.superuser:
        return nullcontext()
    return owners_may_create(job.server, job.working, job.source.proof)


def _proven(job: LoadJob) -> DatabaseProof:
    """Compare what was restored with the proof.

    Raises:
        OperationFailed: it is not what was backed up.
    """
    choice = job.source.choice
    found, differences = _compared(job)
    if differences:
        first = differences[0]
        raise OperationFailed(
            f"{choice.database!r} from {choice.key} did not come back as it was: {len(differences)} differences, "
            f"first {first.kind} {first.name}; what is live was not touched, try another set, or take it as it comes "
            f"with {ALL_THE_SAME}."
        )
    return found


def _compared(job: LoadJob) -> tuple[DatabaseProof, tuple[Difference, ...]]:
    server, programs, expected = job.server, job.programs, job.source.proof
    job.progress(f"compare {job.source.choice.database}")
    found = restored_proof(server, job.working, programs, job.encoding, expected.sample_percent)
    reprint = reprinter(server, programs, found.properties, job.encoding)
    return found, compare_databases(expected, found, reprint, job.omitted)
