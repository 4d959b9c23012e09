"""Restore into a live server: beside what is there, or in its place once the new one is proven.

A database is restored under a working name, compared with its proof, and only then renamed. In
place, both renames happen in one transaction: whatever is killed, the name always has one whole
database behind it. The old one stays under a name of its own until somebody drops it.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import psycopg
from psycopg import sql
from pydantic import BaseModel, ConfigDict

from engine.errors import ConfigurationError, OperationFailed
from engine.postgres import commands
from engine.postgres.compare import compare_databases
from engine.postgres.database import (
    apply_properties,
    create_database,
    drop_working,
    fitting_name,
    working_name,
)
from engine.postgres.dumping import body_marker
from engine.postgres.embedded import client_programs
from engine.postgres.lock import backup_lock
from engine.postgres.proof import DatabaseProof
from engine.postgres.replay import (
    APPLICATION,
    STALL_SECONDS,
    read_proof,
    reprinter,
    restored_proof,
    start_unpack,
)
from engine.postgres.roles import only_roles
from engine.postgres.server import Server, failed
from engine.postgres.survey import survey_server
from engine.progress import Progress, Throttled, silent
from engine.sets.catalogue import NEWEST, Catalogue
from engine.sets.keys import SetKey
from engine.sets.manifest import Body, FileEntry
from engine.sets.reading import read_manifest, read_small, stored_pieces
from engine.sets.target import Target
from engine.streams.pipeline import Meter, Pipeline, pieces_of, pump
from engine.streams.spool import spool_folder

_JOBS = max(2, min(4, os.cpu_count() or 2))
_SWAP_TRIES = 5
_PAUSE_SECONDS = 0.05
_PREAMBLE_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class RestoreChoice:
    """One database and the set (its own or a cluster set) it comes from."""

    database: str
    key: SetKey


class RestoredDatabase(BaseModel):
    """What a restore made: `name` is where the database is now, `previous` where the old one went."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    database: str
    set_key: str
    name: str
    previous: str | None
    tables: int
    rows: int
    seconds: float
    roles_created: tuple[str, ...]
    missing: tuple[str, ...]


def choose(
    catalogue: Catalogue, target: Target, server: str, databases: Sequence[str], which: str = "newest"
) -> tuple[RestoreChoice, ...]:
    """Which set each database comes from; no database named means all that the sets have.

    `which` is a word of the catalogue (`newest-proven`), an id or a key; a cluster set's gives its
    databases. `newest` is the newest that did not fail.

    Raises:
        ConfigurationError: no such set or database.
    """
    if which in NEWEST:
        word = "newest-usable" if which == "newest" else which
        scopes = [name for at, name in catalogue.scopes if at == server and name is not None]
        wanted = databases or [name for name in scopes if name not in ("postgres", "template1")]
        if not wanted:
            raise ConfigurationError(
                f"{target.store.address} has no database sets of {server}; `list` shows what it has."
            )
        return tuple(RestoreChoice(name, catalogue.find(word, server, name).key) for name in wanted)
    key = catalogue.find(which, server, databases[0] if len(databases) == 1 else None).key
    held = [
        file.database
        for file in read_manifest(target, key).files
        if file.kind in ("sql", "dump") and file.database
    ]
    if unknown := [name for name in databases if name not in held]:
        raise ConfigurationError(f"{key} has no database {unknown[0]!r}; it has: {', '.join(held[:20])}.")
    wanted = databases or [name for name in held if name not in ("postgres", "template1")]
    return tuple(RestoreChoice(name, key) for name in wanted)


def restore_databases(
    target: Target,
    server: Server,
    choices: Sequence[RestoreChoice],
    *,
    in_place: bool = False,
    progress: Progress = silent,
) -> tuple[RestoredDatabase, ...]:
    """Restore each chosen database, one after the other, holding the server's backup lock.

    Raises:
        LockedByAnother: a backup or another restore of this server runs.
        OperationFailed: a set is damaged, or what came back is not what was backed up; what was live is untouched.
    """
    facts = survey_server(server)
    programs = client_programs(facts.major, server.settings.tools)
    with backup_lock(server, "restore"):
        drop_working(server)
        return tuple(_restore(target, server, choice, in_place, programs, progress) for choice in choices)


@dataclass
class _Work:
    target: Target
    server: Server
    choice: RestoreChoice
    programs: Path
    progress: Progress
    body: Body
    file: FileEntry
    proof: DatabaseProof
    working: str


def _restore(
    target: Target, server: Server, choice: RestoreChoice, in_place: bool, programs: Path, progress: Progress
) -> RestoredDatabase:
    began = time.monotonic()
    if in_place and choice.database == server.settings.maintenance_database:
        raise ConfigurationError(
            f"{choice.database!r} cannot be replaced while {server.address} is reached through it; restore it beside, "
            f"or set maintenance_database of [servers.{server.name}] to another."
        )
    work = _prepared(target, server, choice, programs, progress)
    final = choice.database if in_place else _free_name(server, choice)
    roles = _create_missing_roles(work)
    try:
        create_database(server, work.working, work.proof.properties)
        _fill(work)
        apply_properties(server, work.working, work.proof.properties)
        found = _proven(work)
        previous = _publish(server, work.working, final, in_place, choice)
    except BaseException:
        drop_working(server)
        raise
    return RestoredDatabase(
        database=choice.database,
        set_key=str(choice.key),
        name=final,
        previous=previous,
        tables=len(found.tables),
        rows=found.rows,
        seconds=time.monotonic() - began,
        roles_created=roles,
        missing=work.body.missing,
    )


def _prepared(
    target: Target, server: Server, choice: RestoreChoice, programs: Path, progress: Progress
) -> _Work:
    """Read and check everything that is small, and the stored bytes of what is large, before the server changes."""
    body = read_manifest(target, choice.key)
    files = {
        (file.kind in ("sql", "dump"), file.kind == "proof"): file
        for file in body.files
        if file.database == choice.database
    }
    dump, proof = files.get((True, False)), files.get((False, True))
    if dump is None or proof is None:
        raise OperationFailed(
            f"{choice.key} has no dump with a proof of {choice.database!r}; use another set."
        )
    progress(f"check the stored bytes of {choice.database}", 0, dump.size)
    for _ in stored_pieces(target, choice.key, dump):
        pass
    expected = read_proof(target, choice.key, proof, body.encrypted)
    return _Work(target, server, choice, programs, progress, body, dump, expected, working_name())


def _free_name(server: Server, choice: RestoreChoice) -> str:
    """The name beside the live one: `<database>_restored_<time of the set>`.

    Raises:
        ConfigurationError: it is taken.
    """
    name = fitting_name(choice.database, f"_restored_{choice.key.created:%Y%m%d_%H%M%S}")
    with server.connect(application=APPLICATION) as connection:
        if (
            connection.execute("SELECT FROM pg_catalog.pg_database WHERE datname = %s", (name,)).fetchone()
            is not None
        ):
            raise ConfigurationError(
                f"{server.address} already has a database {name!r}, restored from this set before; drop or rename it first."
            )
    return name


def _create_missing_roles(work: _Work) -> tuple[str, ...]:
    """Create the roles of the set that the server lacks, with passwords and memberships; others stay as they are."""
    body = work.body
    globals_file = next(file for file in body.files if file.kind == "globals")
    text = read_small(work.target, work.choice.key, globals_file, body.encrypted).decode()
    with work.server.connect(application=APPLICATION) as connection:
        present = {row[0] for row in connection.execute("SELECT rolname FROM pg_catalog.pg_roles")}
    absent = tuple(role for role in body.roles if role not in present)
    if not absent:
        return ()
    done = subprocess.run(
        commands.psql_argv(work.programs, work.server.settings.maintenance_database),
        input=only_roles(text, absent).encode(),
        capture_output=True,
        env=work.server.tool_environment(APPLICATION),
        timeout=600,
        check=False,
    )
    if done.returncode:
        first = done.stderr.decode("utf8", "replace").splitlines()[:1]
        raise OperationFailed(f"The roles {', '.join(absent)} could not be created: {' '.join(first)[:300]}.")
    return absent


def _fill(work: _Work) -> None:
    """Restore the contents into the working database."""
    work.progress(f"restore {work.choice.database}", 0, work.file.size)
    if work.file.kind == "dump":
        _fill_from_archive(work)
    else:
        _fill_from_text(work)


def _fill_from_archive(work: _Work) -> None:
    """pg_restore with several jobs wants a file it can seek in: the archive is unpacked beside."""
    environment = work.server.fixed_environment(APPLICATION)
    with spool_folder() as folder:
        archive = folder / "archive"
        with archive.open("xb") as spool:
            archive.chmod(0o600)
            _unpacked(work, spool.fileno())
        with Pipeline() as pipeline:
            argv = commands.restore_argv(work.programs, work.working, archive, _JOBS)
            tool = pipeline.start(
                argv, name="pg_restore", env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
            tool.failed_as = OperationFailed
            began, tick = time.monotonic(), Throttled(work.progress)
            what = f"restore {work.choice.database}"
            pipeline.join(on_tick=lambda: tick(f"{what}, {time.monotonic() - began:.0f} s"))


def _unpacked(work: _Work, descriptor: int) -> None:
    meter, tick = Meter(), Throttled(work.progress)
    with Pipeline() as pipeline:
        unpack = start_unpack(
            pipeline, work.target, work.choice.key, work.file, work.body.encrypted, descriptor
        )
        pieces = stored_pieces(work.target, work.choice.key, work.file)
        pipeline.run(partial(pump, pieces, (unpack.stdin,), meter), "read")
        what = f"unpack {work.choice.database}"
        pipeline.join(meter, STALL_SECONDS, on_tick=lambda: tick(what, meter.bytes, work.file.size))


def _fill_from_text(work: _Work) -> None:
    """The contents of a cluster set's SQL: what stands after the line that ends its preamble."""
    meter, tick = Meter(), Throttled(work.progress)
    with Pipeline() as pipeline:
        unpack = start_unpack(pipeline, work.target, work.choice.key, work.file, work.body.encrypted)
        psql = pipeline.start(
            commands.psql_argv(work.programs, work.working),
            name="psql",
            env=work.server.fixed_environment(APPLICATION),
            stdout=subprocess.DEVNULL,
        )
        psql.failed_as = OperationFailed
        pieces = stored_pieces(work.target, work.choice.key, work.file)
        pipeline.run(partial(pump, pieces, (unpack.stdin,), meter), "read")
        contents = after_marker(pieces_of(unpack.stdout), body_marker(work.choice.key.set_id))
        pipeline.run(partial(pump, contents, (psql.stdin,)), "restore")
        what = f"restore {work.choice.database}"
        pipeline.join(meter, STALL_SECONDS, on_tick=lambda: tick(what, meter.bytes, work.file.size))


def after_marker(pieces: Iterable[bytes], marker: bytes) -> Iterator[bytes]:
    """What follows the first `marker`.

    Raises:
        OperationFailed: it never came; nothing was passed on.
    """
    held = b""
    source = iter(pieces)
    for piece in source:
        held += piece
        at = held.find(marker)
        if at >= 0:
            yield held[at + len(marker) :]
            yield from source
            return
        if len(held) > _PREAMBLE_BYTES:
            break
    raise OperationFailed("The SQL has no line that ends its preamble; restore it whole, with psql.")


def _proven(work: _Work) -> DatabaseProof:
    """Compare what was restored with the proof.

    Raises:
        OperationFailed: it is not what was backed up.
    """
    work.progress(f"compare {work.choice.database}")
    found = restored_proof(work.server, work.working, work.programs, work.proof.sample_percent)
    differences = compare_databases(work.proof, found, reprinter(work.server, work.programs))
    if differences:
        first = differences[0]
        raise OperationFailed(
            f"{work.choice.database!r} from {work.choice.key} did not come back as it was: {len(differences)} differences, "
            f"first {first.kind} {first.name}; what is live was not touched, try another set."
        )
    return found


def _publish(server: Server, working: str, final: str, in_place: bool, choice: RestoreChoice) -> str | None:
    """Give the restored database its name; in place, the live one steps aside in the same transaction."""
    previous = (
        fitting_name(final, f"_before_{datetime.now().astimezone():%Y%m%d_%H%M%S}") if in_place else None
    )
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}").format
    with server.connect(application=APPLICATION, autocommit=False) as connection:
        steps = [rename(sql.Identifier(working), sql.Identifier(final))]
        if previous is not None and _exists(connection, final):
            steps.insert(0, rename(sql.Identifier(final), sql.Identifier(previous)))
        else:
            previous = None
        connection.rollback()
        for attempt in range(1, _SWAP_TRIES + 1):
            try:
                with _ending_sessions(server, (final, working)):
                    for step in steps:
                        connection.execute(step)
                    connection.commit()
                return previous
            except psycopg.errors.ObjectInUse as error:
                connection.rollback()
                if attempt == _SWAP_TRIES:
                    raise failed(
                        f"Database {final!r} could not be renamed, its sessions came back", error
                    ) from None
    return None


def _exists(connection: psycopg.Connection[tuple[object, ...]], database: str) -> bool:
    return (
        connection.execute("SELECT FROM pg_catalog.pg_database WHERE datname = %s", (database,)).fetchone()
        is not None
    )


@contextmanager
def _ending_sessions(server: Server, databases: Sequence[str]) -> Iterator[None]:
    """End the databases' sessions while the block runs.

    ALTER DATABASE RENAME locks the database against new sessions first and then waits five seconds
    for the old ones to go, so no session can slip in, and nothing is left behind when we are killed.
    """
    done = threading.Event()
    statement = "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE datname = ANY (%s)"

    def end() -> None:
        with server.connect(application=APPLICATION) as connection:
            while not done.wait(_PAUSE_SECONDS):
                connection.execute(statement, (list(databases),))

    thread = threading.Thread(target=end, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(15)
