"""Fill the working database with all that its server takes, where the source holds what no restore takes.

pg_restore goes on after an error, with one session, in the archive's order. Rows that a check refuses come back without
it: the check is dropped, the rows are loaded, and it is put back as NOT VALID; so is a foreign key that rows break. What
does not come back is named.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from engine.errors import ConfigurationError, OperationFailed, PlatformOpsError
from engine.sources.postgres.archive.archive import Head, read_head
from engine.sources.postgres.archive.service_extensions import without_lines
from engine.sources.postgres.archive.toc import DataPlan
from engine.sources.postgres.programs import commands
from engine.sources.postgres.restore.database import apply_properties, create_database
from engine.sources.postgres.restore.load.job import LoadJob
from engine.sources.postgres.restore.load.work import Work
from engine.sources.postgres.restore.not_valid import dump_id, put_back, put_back_foreign_keys
from engine.sources.postgres.restore.owners import owners_may_create, owners_may_create_in_schemas
from engine.sources.postgres.restore.replay import APPLICATION, STALL_SECONDS
from engine.sources.postgres.server.raw_text import to_text
from engine.sources.postgres.server.server import failed
from engine.sources.postgres.server.sql_files import read_sql
from engine.streams.pipeline import Pipeline
from engine.streams.pipes import Meter
from engine.streams.process import Patient
from engine.streams.stderr import reason

_ABOUT = re.compile(r"pg_restore: from TOC entry (?P<id>\d+); \d+ \d+ (?P<what>.*) \S+$")
_ERROR = re.compile(r"pg_restore: error: (?P<why>.*)$")
_CHECKS = read_sql(__name__, "checks_of_table")
_MOST = 1000
"""What is named; more of it is counted."""

_Refused = Mapping[int, str]
"""Entries of the table of contents, by dump id: what each is, and why the server did not take it."""


class _Some(PlatformOpsError):
    """pg_restore went on after errors; what they are is in its log."""


def fill_despite_errors(job: LoadJob) -> tuple[str, ...]:
    """Make and fill the working database; what it did not take, one line for each.

    Raises:
        ConfigurationError: the set is plain SQL, which cannot be taken in part.
        PlatformOpsError: the server went away, or cannot make the database at all.
    """
    source = job.source
    if source.file.role != "dump":
        raise ConfigurationError(
            f"{source.choice.key} holds {source.choice.database!r} as plain SQL, of which no part can be taken safely; "
            "take a set of the database's own (`list` shows them), or see docs/restore.md."
        )
    properties = source.proof.properties
    create_database(job.server, job.working, properties)
    problems = []
    try:
        apply_properties(job.server, job.working, properties)  # rows are checked under what the database sets
    except OperationFailed as error:
        problems.append(str(error))
    work = Work(job, job.most_memory())
    found = _first_pass(work)
    unchecked: tuple[str, ...] = ()
    if found:
        head = _head(work)
        unchecked = _rows_without_checks(work, head, found)
        put_back_foreign_keys(job, head, found)
    problems = [*found.values(), *unchecked, *problems]
    left = len(problems) - _MOST
    return (*problems[:_MOST], *((f"and {left} more",) if left > 0 else ()))


def _first_pass(work: Work) -> dict[int, str]:
    """As `load.archive` has it for who is no superuser: schemas first, privileges last."""
    job, proof = work.job, work.job.source.proof
    if job.superuser:
        kept = without_lines(_head(work).contents, job.omitted) if job.omitted else ()
        return dict(_pass(work, "first", work.listed("first", kept) if kept else None))
    schemas, privileges, others = _head(work).divided()
    others = without_lines(others, job.omitted)
    with owners_may_create(job.server, job.working, proof):
        found = dict(_pass(work, "schemas", work.listed("first schemas", schemas)))
        with owners_may_create_in_schemas(job.server, job.working, proof):
            found |= _pass(work, "first", work.listed("first others", others))
    return found | dict(_pass(work, "privileges", work.listed("first privileges", privileges)))


def _pass(work: Work, name: str, use_list: Path | None = None) -> Iterator[tuple[int, str]]:
    """Restore the archive, or what is listed of it; the entries that were refused."""
    job, log = work.job, work.job.source.spool / f"{name}.log"
    argv = commands.restore_argv(job.programs, job.working, use_list=use_list, exit_on_error=False)
    try:
        with job.source.stored.open("rb") as stored, log.open("xb") as errors_log, Pipeline() as pipeline:
            log.chmod(0o600)
            unpacked = job.unpacked(pipeline, stored)
            program = subprocess.Popen(
                argv,
                env=job.environment(work.most_memory),
                stdin=unpacked.stdout,
                stdout=subprocess.DEVNULL,
                stderr=errors_log,
            )
            tool = pipeline.add(program, name="pg_restore")
            tool.explains[1] = _Some("errors were passed over")
            unpacked.stdout.close()
            job.join(pipeline, Meter(), stored)
    except _Some:
        _require_its_end(job, log)
    yield from _refused(log)


def _require_its_end(job: LoadJob, log: Path) -> None:
    """It says at its end how many errors it passed over; without that something else ended it.

    Raises:
        OperationFailed: it did not come to its end.
    """
    with log.open("rb") as errors_log:
        errors_log.seek(max(0, log.stat().st_size - 4096))
        end = errors_log.read().decode("utf8", "replace")
    if "pg_restore: warning: errors ignored on restore: " not in end:
        raise OperationFailed(f"pg_restore into {job.server.address} ended early: {reason(_last_error(end))}.")


def _last_error(text: str) -> str:
    found = [line for line in text.splitlines() if line.startswith("pg_restore: ")]
    return found[-1] if found else "it gave no reason"


def _refused(log: Path) -> Iterator[tuple[int, str]]:
    about: re.Match[str] | None = None
    with log.open(encoding="utf8", errors="replace") as lines:
        for line in lines:
            if found := _ABOUT.match(line):
                about = found
            elif about and (error := _ERROR.match(line)):
                yield int(about["id"]), f"{about['what']}: {reason(_of_server(error['why']))}"
                about = None


def _of_server(text: str) -> str:
    """The server's own words, where they follow pg_restore's."""
    return text.rpartition("ERROR:  ")[2]


def _rows_without_checks(work: Work, head: Head, found: dict[int, str]) -> tuple[str, ...]:
    """Load the rows that were refused, without the checks of their tables; what came back leaves `found`."""
    plan = head.data_plan()
    tables = _tables(plan, found) if plan else {}
    if not tables:
        return ()
    again = [line for line in head.contents if dump_id(line) in tables or b" MATERIALIZED VIEW DATA " in line]
    with _unchecked(work.job, tuple(tables.values())) as checks:
        refused = dict(_pass(work, "second", work.listed("again", again)))
    for line in again:
        found.pop(dump_id(line), None)
    found.update(refused)
    return tuple(checks)


def _tables(plan: DataPlan, found: _Refused) -> dict[int, sql.Identifier]:
    """The tables whose rows were refused."""
    names = {
        entry.dump_id: (to_text(entry.schema), to_text(entry.name))
        for entry in plan.entries
        if entry.copy and entry.dump_id in found
    }
    return {dump_id: sql.Identifier(*name) for dump_id, name in names.items()}


def _head(work: Work) -> Head:
    job = work.job
    work.head.unlink(missing_ok=True)
    with job.source.stored.open("rb") as stored, Pipeline() as pipeline:
        unpacked = job.unpacked(pipeline, stored)
        return read_head(Patient(unpacked, STALL_SECONDS), work.head, job.programs)


@contextmanager
def _unchecked(job: LoadJob, tables: tuple[sql.Identifier, ...]) -> Iterator[list[str]]:
    """The tables without their checks, their parents' and their columns' domains'; afterwards those checks are there
    again, for new rows alone, and told in the list."""
    problems: list[str] = []
    with job.server.connect(job.working, application=APPLICATION) as connection:
        names = [table.as_string(connection) for table in tables]
        try:
            checks = connection.execute(_CHECKS.encode(), {"tables": names}).fetchall()
            for whose, name, _ in checks:
                connection.execute(f"ALTER {whose} DROP CONSTRAINT {name}".encode())
            yield problems
            for whose, name, definition in checks:
                valid = definition.removesuffix(" NOT VALID")
                added = f"ALTER {whose} ADD CONSTRAINT {name} {valid}"
                problems.append(put_back(connection, added.encode(), f"CHECK {name} of {whose}"))
        except psycopg.Error as error:
            raise failed(f"Loading rows of {job.source.choice.database!r} without checks failed", error) from None
