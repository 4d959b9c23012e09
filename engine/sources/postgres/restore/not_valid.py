"""Constraints that stored rows break: they are put back for new rows alone (NOT VALID), and named."""

from __future__ import annotations

import re

import psycopg

from engine.sources.postgres.archive.archive import Head
from engine.sources.postgres.archive.listing import kind
from engine.sources.postgres.restore.load.job import LoadJob
from engine.sources.postgres.restore.replay import APPLICATION
from engine.sources.postgres.server.raw_text import to_text
from engine.sources.postgres.server.server import failed
from engine.streams.stderr import reason

_ADDED = re.compile(rb"^(ALTER TABLE .* FOREIGN KEY .*);\n", re.MULTILINE | re.DOTALL)


def dump_id(line: bytes) -> int:
    """The number by which an archive's table of contents and its errors call an entry."""
    return int(line.partition(b";")[0])


def put_back(connection: psycopg.Connection[tuple[object, ...]], statement: bytes, what: str) -> str:
    """Run the statement that adds a constraint as NOT VALID; what a person is told of it.

    Raises:
        psycopg.DatabaseError: the session was lost.
    """
    try:
        connection.execute(statement + b" NOT VALID")
    except psycopg.DatabaseError as error:
        if connection.closed:
            raise
        return f"{what}: {reason(str(error))}"
    return f"{what}: it is there for new rows (NOT VALID), since rows that are stored break it"


def put_back_foreign_keys(job: LoadJob, head: Head, found: dict[int, str]) -> None:
    """Add the refused foreign keys again: the rows they lacked may have come since, else for new rows alone.

    What is told of them in `found` is what is true now; of one that came back nothing.

    Raises:
        OperationFailed: the session was lost.
    """
    keys = [line for line in head.contents if dump_id(line) in found and kind(line).startswith(b"FK CONSTRAINT ")]
    if not keys:
        return
    with job.server.connect(job.working, application=APPLICATION, restoring=True) as connection:
        try:
            connection.execute(head.settings())  # the encoding and search_path of its statements
            for line in keys:
                if statement := _ADDED.search(head.statement(line)):
                    problem = _added(connection, statement[1], to_text(kind(line)).rpartition(" ")[0])
                    found.pop(dump_id(line)) if not problem else found.update({dump_id(line): problem})
        except psycopg.Error as error:
            raise failed(f"Foreign keys of {job.source.choice.database!r} could not be added", error) from None


def _added(connection: psycopg.Connection[tuple[object, ...]], statement: bytes, what: str) -> str:
    try:
        connection.execute(statement)
    except psycopg.DatabaseError:
        return put_back(connection, statement, what)
    return ""
