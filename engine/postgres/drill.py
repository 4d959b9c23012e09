"""A restore drill: a stored set into a scratch server, then its proofs compared. Only this proves a backup."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from engine.config.settings import ServerSettings
from engine.errors import DamagedSet, PlatformOpsError
from engine.postgres.course import Course, DrillReport
from engine.postgres.embedded import client_programs, version_of
from engine.postgres.proof import DatabaseProof
from engine.postgres.replay import read_proof
from engine.postgres.scratch import scratch_server
from engine.postgres.server import Server
from engine.postgres.trial import Trial
from engine.progress import Progress, counted, silent
from engine.sets.keys import SetKey, VerdictKey
from engine.sets.manifest import Body
from engine.sets.reading import read_manifest
from engine.sets.target import Target
from engine.sets.verdicts import record_verdict


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
    course = Course(key, datetime.now(UTC), time.monotonic())
    try:
        report = _judged(course, target, progress, docker_host)
    except DamagedSet as error:
        report = _blamed(course, target, error)
    except PlatformOpsError as error:
        report = course.report("unverified", str(error))
    at = datetime.now(UTC)
    record_verdict(
        target.store,
        VerdictKey(key.server, key.set_id, at, "drill", report.verdict),
        _storable(report, course).model_dump(mode="json"),
        target.digest_key,
    )
    return report


def _blamed(course: Course, target: Target, error: DamagedSet) -> DrillReport:
    """What a failure says of the set: nothing when the set itself is gone."""
    try:
        there = course.key.manifest in target.store.keys(course.key.prefix)
    except PlatformOpsError as other:
        return course.report("unverified", str(other))
    if not there:
        return course.report(
            "unverified",
            f"{course.key} is not, or no longer, in {target.store.address}: it has no manifest, as a set that was "
            "pruned or was never finished; `list` shows those that are stored.",
        )
    return course.report("failed", str(error))


def _storable(report: DrillReport, course: Course) -> DrillReport:
    """The report as its verdict file holds it: of an encrypted set, what differs is named, not quoted."""
    if course.body is None or not course.body.encrypted:
        return report
    said = {"expected": "(in the encrypted set)", "found": "(see the run's own report)"}
    named = tuple(difference.model_copy(update=said) for difference in report.differences)
    return report.model_copy(update={"differences": named})


def _judged(course: Course, target: Target, progress: Progress, docker_host: str) -> DrillReport:
    body = course.body = read_manifest(target, course.key)
    _nothing_but(target, body)
    progress(f"drill of {course.key}: starting a scratch PostgreSQL {body.server_version}")
    proofs = _proofs(target, course.key, body)
    course.sample_percent = min([body.sample_percent, *(proof.sample_percent for proof in proofs.values())])
    major = _major(course.key, body)
    encoding, locale = _encoding_and_locale(proofs)
    with _scratch(course, body, major, encoding, locale, docker_host) as scratch:
        settings = ServerSettings(
            host=str(scratch.socket), port=scratch.port, user=scratch.superuser, store="scratch"
        )
        server = Server("scratch", settings)
        Trial(target, body, proofs, server, client_programs(major), progress).run(course)
    if course.differences:
        return course.report("failed", _failed(course))
    return course.report("sampled" if course.sample_percent < 100 else "passed", _equal(course))


@contextmanager
def _scratch(
    course: Course, body: Body, major: int, encoding: str, locale: str, docker_host: str
) -> Iterator[Scratch]:
    if body.image:
        from engine.postgres import scratch_container  # the library takes a while to load

        if scratch_container.has_image(body.image, docker_host):
            with scratch_container.scratch_container(
                body.image, superuser=body.superuser, encoding=encoding, locale=locale, engine=docker_host
            ) as container:
                course.scratch = f"a container of the source's own image, {body.image}"
                yield container
            return
    with scratch_server(major, superuser=body.superuser, encoding=encoding, locale=locale) as instance:
        version = ".".join(str(part) for part in version_of(instance.programs / "postgres") or (major,))
        course.scratch = f"a scratch server of this host, PostgreSQL {version}"
        yield instance


def _nothing_but(target: Target, body: Body) -> None:
    """A file more is as bad as a file less: whoever restores with stock tools would run it.

    Raises:
        DamagedSet: something lies in the set that its manifest does not name.
    """
    named = {body.key.manifest, *(body.key.prefix + file.name for file in body.files)}
    if more := next((stored for stored in target.store.keys(body.key.prefix) if stored not in named), None):
        raise DamagedSet(
            f"{more} in {target.store.address} is not in the manifest of its set, and stock tools would restore it too; "
            "use another set, and see who put it there."
        )


def _failed(course: Course) -> str:
    first = course.differences[0]
    return (
        f"{course.key} does not restore to what was backed up: {counted(len(course.differences), 'difference')}, "
        f"first {first.kind} {first.name} of {first.database or 'the server'}; use another set and look into this one."
    )


def _equal(course: Course) -> str:
    rows = sum(row.rows for row in course.rows)
    tables = sum(row.tables for row in course.rows)
    said = f"{counted(len(course.rows), 'database')}, {counted(tables, 'table')} and {counted(rows, 'row')} came back"
    if course.sample_percent == 100:
        said += " equal"
    else:
        said += (
            f"; all rows were counted, but only {course.sample_percent} % of them (by their primary keys) were compared, "
            "and are equal: a sample does not prove the set"
        )
    if lacks := course.missing:
        said += f"; not in the set: {'; '.join(lacks[:5])}{' ...' if len(lacks) > 5 else ''}"
    return said


def _proofs(target: Target, key: SetKey, body: Body) -> dict[str, DatabaseProof]:
    """The proof of each database in the set.

    Raises:
        DamagedSet: a dump without a proof, or none at all: nothing would be compared.
    """
    files = {file.database: file for file in body.files if file.kind == "proof" and file.database is not None}
    dumped = {file.database for file in body.files if file.kind in ("sql", "dump")}
    if not dumped or dumped != set(files):
        raise DamagedSet(
            f"{key} has dumps without a proof or none at all; nothing can be compared, use another."
        )
    proofs = {name: read_proof(target, key, file, body.encrypted) for name, file in files.items()}
    if strange := [name for name, proof in proofs.items() if proof.database != name]:
        raise DamagedSet(f"{key}: the proof of {strange[0]!r} is another database's; use another set.")
    return proofs


def _major(key: SetKey, body: Body) -> int:
    major = body.server_version.split(".", 1)[0]
    if not major.isdecimal():
        raise DamagedSet(f"{key} names no PostgreSQL version ({body.server_version[:40]!r}); use another.")
    return int(major)


def _encoding_and_locale(proofs: dict[str, DatabaseProof]) -> tuple[str, str]:
    """For the scratch server's own databases: as the source's."""
    own = proofs.get("template1") or proofs.get("postgres")
    return (own.properties.encoding, own.properties.collate) if own else ("UTF8", "C.UTF-8")
