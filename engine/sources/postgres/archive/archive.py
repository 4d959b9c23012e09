"""The head of a custom archive: its table of contents, read with stock tools while it streams.

`pg_dump -Fc` writes the table of contents first, with every statement that is not table data. The
head is kept until `pg_restore --list` has read enough; from it come the preamble of the plain SQL
file, the schema for the proof, and the sequence values as they are in this very dump.
"""

from __future__ import annotations

import re
import tempfile
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from engine.errors import OperationFailed
from engine.hosts.base import Program
from engine.hosts.machine import Local, in_time
from engine.sources.postgres.archive.dump_sql import sequence_values
from engine.sources.postgres.archive.listing import (
    DATABASE,
    ENTRY,
    OF_DATABASE,
    PRIVILEGES,
    ROWS,
    SCHEMA,
    is_data,
    kind,
)
from engine.sources.postgres.archive.table_data import settings_of
from engine.sources.postgres.archive.toc import DataPlan, data_plan
from engine.sources.postgres.programs import commands
from engine.sources.postgres.server.environment import hidden, run_here
from engine.sources.postgres.server.raw_text import to_text
from engine.streams.pipes import pieces_of, write_all
from engine.streams.process import Patient, Process
from engine.streams.stderr import summary

_HEAD_PIECE = 1 << 16
_TOOL_SECONDS = 600
STALL_SECONDS = 3600.0
"""A large catalogue may keep pg_dump busy for long before its first byte."""
_CREATE_DATABASE = re.compile(rb"^CREATE DATABASE (postgres|template1) WITH .*;$", re.MULTILINE)
_CONNECT = re.compile(rb"^\\connect .*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Head:
    """The start of an archive on disk (it may hold some data too) and its table of contents."""

    path: Path
    contents: tuple[bytes, ...]
    programs: Path

    def preamble(self, *, create: bool, settings: bytes) -> bytes:
        """CREATE DATABASE (when `create`), `\\connect`, the database's settings and privileges.

        `settings` is SQL that is run in each session, before anything else.

        Raises:
            OperationFailed: the archive does not say how to create its database.
        """
        wanted = [line for line in self.contents if kind(line).startswith(OF_DATABASE)]
        if create and not any(kind(line).startswith(DATABASE) for line in wanted):
            raise OperationFailed("The dump does not say how to create its database; it would restore elsewhere.")
        text = self._text(wanted, create=True) if wanted else b""
        if not create:
            text = _CREATE_DATABASE.sub(b"", text, count=1)
        return settings + _CONNECT.sub(lambda found: found[0] + settings, text) + settings

    def schema(self) -> str:
        """The SQL of everything but data, without what belongs to the database itself."""
        wanted = [line for line in self.contents if not is_data(line)]
        return to_text(self._text(wanted, create=False))

    def sequences(self) -> dict[str, tuple[int, bool]]:
        """The value each sequence has in this dump, and whether it was called."""
        wanted = [line for line in self.contents if kind(line).startswith(b"SEQUENCE SET ")]
        text = to_text(self._text(wanted, create=False)) if wanted else ""
        return sequence_values(text)

    def data_plan(self) -> DataPlan | None:
        """Which data follows; None when that cannot be told for certain."""
        return data_plan(self.path.read_bytes())

    def settings(self) -> bytes:
        """The SQL that every part of this archive is restored under."""
        return settings_of(self._text((), create=False))

    def statement(self, line: bytes) -> bytes:
        """The SQL of one entry, with what stands around it."""
        return self._text((line,), create=False)

    def lines_of_rows(self) -> tuple[bytes, ...]:
        """The lines of the table of contents that stand for tables' rows."""
        return tuple(line for line in self.contents if is_data(line) and kind(line).startswith(ROWS))

    def lines_of_other_data(self) -> tuple[bytes, ...]:
        """Those of the section of data that stand for anything else: sequences' values, large objects."""
        passed_over = (ROWS, b"MATERIALIZED VIEW DATA ")
        return tuple(line for line in self.contents if is_data(line) and not kind(line).startswith(passed_over))

    def divided(self) -> tuple[list[bytes], list[bytes], list[bytes]]:
        """The lines that make schemas, those of privileges, and all others."""
        schemas = [line for line in self.contents if kind(line).startswith(SCHEMA)]
        privileges = [line for line in self.contents if kind(line).startswith(PRIVILEGES)]
        passed_over = {*schemas, *privileges}
        return schemas, privileges, [line for line in self.contents if line not in passed_over]

    @property
    def has_large_objects(self) -> bool:
        return any(is_data(line) and kind(line).startswith(b"BLOB") for line in self.contents)

    def _text(self, entries: Iterable[bytes], *, create: bool) -> bytes:
        with tempfile.NamedTemporaryFile(dir=self.path.parent, suffix=".list") as listing:
            listing.write(b"\n".join(entries) + b"\n")
            listing.flush()
            argv = commands.archive_text_argv(
                self.programs, archive=self.path, use_list=Path(listing.name), create=create
            )
            done = run_here(argv, timeout=_TOOL_SECONDS)
        if done.code:
            raise OperationFailed(f"pg_restore cannot read the dump's contents: {summary(done.stderr)}")
        return done.stdout


def head_of(dump: Process, folder: Path, programs: Path, stall_seconds: float = STALL_SECONDS) -> Head:
    """The head of what a running pg_dump writes, kept in `folder`; when there is none, pg_dump says why.

    Raises:
        PlatformOpsError: pg_dump failed, or wrote no archive.
    """
    try:
        return read_head(Patient(dump, stall_seconds), folder / "head", programs)
    except OperationFailed:
        with in_time():
            code = dump.popen.wait(_TOOL_SECONDS)
        if code:
            raise dump.failure() from None
        raise


def read_head(source: Patient, path: Path, programs: Path) -> Head:
    """Copy the archive's start from `source` to `path`, until its whole table of contents is there.

    Raises:
        OperationFailed: what comes is not an archive.
    """
    with path.open("xb") as spool:
        path.chmod(0o600)
        listed = Local().stream(commands.archive_list_argv(programs), env=hidden(), stdin=True)
        try:
            contents = _feed(source, spool, listed)
            stderr = b"".join(listed.stderr or ())
            code = listed.wait()
        finally:
            _let_go(listed)
    if code:
        raise OperationFailed(f"pg_dump wrote no readable archive: {summary(stderr.decode('utf8', 'replace'))}")
    return Head(path, tuple(line for line in contents.splitlines() if ENTRY.match(line)), programs)


def _feed(source: Patient, spool: IO[bytes], listed: Program) -> bytes:
    """Give pg_restore --list the bytes until it has enough; what it printed."""
    output: list[bytes] = []
    assert listed.stdout is not None and listed.stdin is not None  # noqa: S101 - asked for
    stdout = listed.stdout
    reader = threading.Thread(target=lambda: output.extend(pieces_of(stdout)), daemon=True)
    reader.start()
    try:
        for piece in pieces_of(source, _HEAD_PIECE):
            spool.write(piece)
            write_all(listed.stdin, piece)
    except BrokenPipeError:
        pass  # it has read the whole table of contents
    finally:
        listed.stdin.close()
    reader.join()
    return b"".join(output)


def _let_go(program: Program) -> None:
    """End it if it still runs, and close what leads to it."""
    program.kill()
    program.wait()
    for stream in (program.stdin, program.stdout, program.stderr):
        if stream is not None:
            stream.close()
