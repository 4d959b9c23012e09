"""A restore drill: a stored set into a scratch server, then its proofs compared. Only this proves a backup."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from engine.config.settings import ServerSettings
from engine.errors import CouldNotVerify, OperationFailed, PlatformOpsError, TransientFailure
from engine.postgres import commands
from engine.postgres.compare import Difference, compare_databases, compare_roles
from engine.postgres.embedded import client_programs
from engine.postgres.proof import DatabaseProof
from engine.postgres.replay import (
    APPLICATION,
    play,
    read_proof,
    read_role_proofs,
    reprinter,
    restored_proof,
)
from engine.postgres.roles import EVERYBODY, read_roles
from engine.postgres.scratch import scratch_server
from engine.postgres.server import Server
from engine.progress import Progress, counted, silent
from engine.sets.keys import SetKey, VerdictKey
from engine.sets.manifest import Body, FileEntry
from engine.sets.reading import read_manifest
from engine.sets.target import Target
from engine.sets.verdicts import record_verdict

Result = Literal["passed", "failed", "unverified"]
_Given = TypeVar("_Given")
_Made = TypeVar("_Made")
_EVIDENCE = 200
_JOBS = 2


class DatabaseRow(BaseModel):
    """What the drill saw of one database: counts as found after the restore, seconds of its restore."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    database: str
    tables: int
    rows: int
    sequences: int
    large_objects: int
    differences: int
    restore_seconds: float
    compare_seconds: float


class DrillReport(BaseModel):
    """The verdict with its evidence.

    `rto_seconds`: from an empty machine's first step to the last database restored.
    `rpo_seconds`: the age of the set when the drill began: what would be lost today.
    `missing`: what the set says it does not carry.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    set_key: str
    result: Result
    sentence: str
    started: datetime
    seconds: float
    rto_seconds: float | None
    rpo_seconds: float
    stored_bytes: int
    server_version: str
    databases: tuple[DatabaseRow, ...]
    roles: int
    differences: tuple[Difference, ...]
    missing: tuple[str, ...]


@dataclass
class _Course:
    """What a drill has found so far: it is reported even when the drill ends early."""

    key: SetKey
    started: datetime
    began: float
    body: Body | None = None
    rows: tuple[DatabaseRow, ...] = ()
    differences: tuple[Difference, ...] = ()
    roles: int = 0
    rto_seconds: float | None = None

    def report(self, result: Result, sentence: str) -> DrillReport:
        return DrillReport(
            set_key=str(self.key),
            result=result,
            sentence=sentence,
            started=self.started,
            seconds=time.monotonic() - self.began,
            rto_seconds=self.rto_seconds,
            rpo_seconds=(self.started - self.key.created).total_seconds(),
            stored_bytes=self.body.size if self.body else 0,
            server_version=self.body.server_version if self.body else "",
            databases=self.rows,
            roles=self.roles,
            differences=self.differences[:_EVIDENCE],
            missing=self.body.missing if self.body else (),
        )


class Scratch(Protocol):
    """A throw-away server, reached by the Unix socket in a folder."""

    @property
    def socket(self) -> Path: ...

    @property
    def port(self) -> int: ...

    @property
    def superuser(self) -> str: ...


def drill(target: Target, key: SetKey, progress: Progress = silent, docker_host: str = "") -> DrillReport:
    """Restore a set into a scratch server and compare; the verdict is stored beside the set.

    The scratch server is a container of the source's image where `docker_host` ('': the usual engine)
    has it, else a server of the source's major that is installed here or came along.

    It does not raise for a bad backup: that is a verdict. `unverified` means nothing was shown.
    """
    course = _Course(key, datetime.now(UTC), time.monotonic())
    try:
        report = _judged(course, target, progress, docker_host)
    except OperationFailed as error:
        result: Result = "unverified" if isinstance(error, TransientFailure) else "failed"
        report = course.report(result, str(error))
    except PlatformOpsError as error:
        report = course.report("unverified", str(error))
    at = datetime.now(UTC)
    record_verdict(
        target.store,
        VerdictKey(key.server, key.set_id, at, "drill", report.result),
        _storable(report, course).model_dump(mode="json"),
    )
    return report


def _storable(report: DrillReport, course: _Course) -> DrillReport:
    """The report as its verdict file holds it: of an encrypted set, what differs is named, not quoted."""
    if course.body is None or not course.body.encrypted:
        return report
    said = {"expected": "(in the encrypted set)", "found": "(see the run's own report)"}
    named = tuple(difference.model_copy(update=said) for difference in report.differences)
    return report.model_copy(update={"differences": named})


def _judged(course: _Course, target: Target, progress: Progress, docker_host: str) -> DrillReport:
    body = course.body = read_manifest(target, course.key)
    progress(f"drill of {course.key}: starting a scratch PostgreSQL {body.server_version}")
    proofs = _proofs(target, course.key, body)
    major = _major(course.key, body)
    encoding, locale = _encoding_and_locale(proofs)
    with _scratch(body, major, encoding, locale, docker_host) as scratch:
        _restore_and_compare(course, target, body, proofs, scratch, client_programs(major), progress)
    if course.differences:
        first = course.differences[0]
        return course.report(
            "failed",
            f"{course.key} does not restore to what was backed up: {counted(len(course.differences), 'difference')}, first "
            f"{first.kind} {first.name} of {first.database or 'the server'}; use another set and look into this one.",
        )
    return course.report("passed", _passed(course, body))


@contextmanager
def _scratch(body: Body, major: int, encoding: str, locale: str, docker_host: str) -> Iterator[Scratch]:
    if body.image:
        from engine.postgres import scratch_container  # the library takes a while to load

        if scratch_container.has_image(body.image, docker_host):
            with scratch_container.scratch_container(
                body.image, superuser=body.superuser, encoding=encoding, locale=locale, engine=docker_host
            ) as container:
                yield container
            return
    with scratch_server(major, superuser=body.superuser, encoding=encoding, locale=locale) as instance:
        yield instance


def _passed(course: _Course, body: Body) -> str:
    rows = sum(row.rows for row in course.rows)
    tables = sum(row.tables for row in course.rows)
    databases = counted(len(course.rows), "database")
    said = f"{databases}, {counted(tables, 'table')} and {counted(rows, 'row')} came back equal"
    if body.missing:
        return (
            f"{said}; not in the set: {'; '.join(body.missing[:5])}{' ...' if len(body.missing) > 5 else ''}"
        )
    return said


def _proofs(target: Target, key: SetKey, body: Body) -> dict[str, DatabaseProof]:
    """The proof of each database in the set.

    Raises:
        OperationFailed: a dump without a proof, or none at all: nothing would be compared.
    """
    files = {file.database: file for file in body.files if file.kind == "proof" and file.database is not None}
    dumped = {file.database for file in body.files if file.kind in ("sql", "dump")}
    if not dumped or dumped != set(files):
        raise OperationFailed(
            f"{key} has dumps without a proof or none at all; nothing can be compared, use another."
        )
    proofs = {name: read_proof(target, key, file, body.encrypted) for name, file in files.items()}
    if strange := [name for name, proof in proofs.items() if proof.database != name]:
        raise OperationFailed(f"{key}: the proof of {strange[0]!r} is another database's; use another set.")
    return proofs


def _major(key: SetKey, body: Body) -> int:
    major = body.server_version.split(".", 1)[0]
    if not major.isdecimal():
        raise OperationFailed(
            f"{key} names no PostgreSQL version ({body.server_version[:40]!r}); use another."
        )
    return int(major)


def _encoding_and_locale(proofs: dict[str, DatabaseProof]) -> tuple[str, str]:
    """For the scratch server's own databases: as the source's."""
    own = proofs.get("template1") or proofs.get("postgres")
    return (own.properties.encoding, own.properties.collate) if own else ("UTF8", "C.UTF-8")


def _restore_and_compare(
    course: _Course,
    target: Target,
    body: Body,
    proofs: dict[str, DatabaseProof],
    scratch: Scratch,
    programs: Path,
    progress: Progress,
) -> None:
    settings = ServerSettings(
        host=str(scratch.socket), port=scratch.port, user=scratch.superuser, store="scratch"
    )
    server = Server("scratch", settings)
    _check_extensions(server, body)
    _restore_globals(course, target, body, server, programs, progress)
    dumps = sorted((file for file in body.files if file.kind in ("sql", "dump")), key=lambda file: -file.size)
    seconds = _in_parallel(lambda file: _restored(target, body, file, server, programs, progress), dumps)
    course.rto_seconds = time.monotonic() - course.began
    course.differences += _unexpected_databases(server, proofs)

    def compared(restored: tuple[FileEntry, float]) -> tuple[DatabaseRow, tuple[Difference, ...]]:
        file, restore_seconds = restored
        return _compared(proofs[file.database or ""], restore_seconds, server, programs, progress)

    results = _in_parallel(compared, list(zip(dumps, seconds, strict=True)))
    course.rows = tuple(sorted((row for row, _ in results), key=lambda row: row.database))
    course.differences += tuple(difference for _, found in results for difference in found)


def _in_parallel(work: Callable[[_Given], _Made], items: Sequence[_Given]) -> list[_Made]:
    with ThreadPoolExecutor(_JOBS) as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _check_extensions(server: Server, body: Body) -> None:
    with server.connect(application=APPLICATION) as connection:
        available = {
            row[0] for row in connection.execute("SELECT name FROM pg_catalog.pg_available_extensions")
        }
    wanted = {name for extensions in body.extensions.values() for name in extensions}
    if lacking := sorted(wanted - available):
        raise CouldNotVerify(
            f"The scratch server lacks the extension{'s' if len(lacking) > 1 else ''} {', '.join(lacking)}; "
            "install the packages of the source's server on the host that drills."
        )


def _restore_globals(
    course: _Course, target: Target, body: Body, server: Server, programs: Path, progress: Progress
) -> None:
    sql = next((file for file in body.files if file.kind == "globals"), None)
    proof = next((file for file in body.files if file.kind == "proof" and file.database is None), None)
    if sql is None or proof is None:
        raise OperationFailed(f"{course.key} lacks its roles or their proof; use another set.")
    expected = read_role_proofs(target, course.key, proof, body.encrypted)
    environment = server.tool_environment(APPLICATION)
    play(
        target,
        body,
        sql,
        commands.psql_argv(programs, "postgres"),
        environment,
        progress,
        "psql of the roles",
    )
    with server.connect(application=APPLICATION) as connection:
        found = read_roles(connection)
    course.roles = sum(name != EVERYBODY for name in found)
    course.differences += compare_roles(expected, found)


def _restored(
    target: Target, body: Body, file: FileEntry, server: Server, programs: Path, progress: Progress
) -> float:
    """Restore one database as the stock tools would; seconds it took."""
    began, name = time.monotonic(), file.database or ""
    environment = server.tool_environment(APPLICATION)
    argv = (*commands.psql_argv(programs, "postgres"), *commands.ends_in_argv(name))
    if file.kind == "dump":
        argv = commands.restore_stream_argv(programs, name, create=name not in ("postgres", "template1"))
        environment = server.fixed_environment(APPLICATION)
    progress(f"restore {name}", 0, file.size)
    play(target, body, file, argv, environment, progress, f"restore of {name}")
    if name not in _databases(server):
        raise OperationFailed(
            f"{file.name} did not make database {name!r}: it is another's; use another set."
        )
    return time.monotonic() - began


def _databases(server: Server) -> set[str]:
    with server.connect(application=APPLICATION) as connection:
        return {row[0] for row in connection.execute("SELECT datname FROM pg_catalog.pg_database")}


def _unexpected_databases(server: Server, proofs: dict[str, DatabaseProof]) -> tuple[Difference, ...]:
    """Databases that a file made and no proof knows."""
    unknown = sorted(_databases(server) - set(proofs) - {"postgres", "template0", "template1"})
    return tuple(
        Difference(database=name, kind="database", name=name, expected="not there", found="there")
        for name in unknown
    )


def _compared(
    expected: DatabaseProof, restore_seconds: float, server: Server, programs: Path, progress: Progress
) -> tuple[DatabaseRow, tuple[Difference, ...]]:
    name, began = expected.database, time.monotonic()
    progress(f"compare {name}")
    found = restored_proof(server, name, programs)
    differences = compare_databases(expected, found, reprinter(server, programs))
    row = DatabaseRow(
        database=name,
        tables=len(found.tables),
        rows=found.rows,
        sequences=len(found.sequences),
        large_objects=len(found.large_objects),
        differences=len(differences),
        restore_seconds=restore_seconds,
        compare_seconds=time.monotonic() - began,
    )
    return row, differences
