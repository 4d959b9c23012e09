"""The head of a custom archive: its table of contents, read with stock tools while it streams.

`pg_dump -Fc` writes the table of contents first, with every statement that is not table data. The
head is kept until `pg_restore --list` has read enough; from it come the preamble of the plain SQL
file, the schema for the proof, and the sequence values as they are in this very dump.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from engine.errors import OperationFailed
from engine.postgres import commands
from engine.streams.pipeline import Process, pieces_of, tool_environment, write_all

_HEAD_PIECE = 1 << 16
_TOOL_SECONDS = 600
_ENTRY = re.compile(rb"^(\d+); (\d+) (\d+) (.*)$")
_HEADER = re.compile(
    r"^--\n-- (?:Data for )?Name: (?P<name>.*); Type: (?P<type>[A-Z ]+); Schema: (?P<schema>.*); Owner: (?P<owner>.*)\n--\n",
    re.MULTILINE,
)
_DATA = (b"TABLE DATA ", b"BLOBS ", b"BLOB DATA ", b"MATERIALIZED VIEW DATA ", b"LARGE OBJECTS ")
_NOT_SCHEMA = (
    *_DATA,
    b"SEQUENCE SET ",
    b"BLOB ",
    b"BLOB METADATA ",
    b"COMMENT - LARGE OBJECT",
    b"ACL - LARGE OBJECT",
    b"SECURITY LABEL - LARGE OBJECT",
)
_DATABASE = b"DATABASE - "
_CREATE_DATABASE = re.compile(rb"^CREATE DATABASE (postgres|template1) WITH .*;$", re.MULTILINE)
_OF_DATABASE = (
    _DATABASE,
    b"DATABASE PROPERTIES ",
    b"ACL - DATABASE ",
    b"COMMENT - DATABASE ",
    b"SECURITY LABEL - DATABASE ",
)
_SETVAL = re.compile(
    r"^SELECT pg_catalog\.setval\(E?'((?:[^']|'')*)', (-?\d+), (true|false)\);$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of the schema as pg_dump writes it: `label` is its type, schema, name and owner."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Head:
    """The start of an archive on disk (it may hold some data too) and its table of contents."""

    path: Path
    contents: tuple[bytes, ...]
    programs: Path

    def preamble(self, *, create: bool) -> bytes:
        """CREATE DATABASE (when `create`), `\\connect`, the database's settings and privileges.

        Raises:
            OperationFailed: the archive does not say how to create its database.
        """
        wanted = [line for line in self.contents if _kind(line).startswith(_OF_DATABASE)]
        if create and not any(_kind(line).startswith(_DATABASE) for line in wanted):
            raise OperationFailed(
                "The dump does not say how to create its database; it would restore elsewhere."
            )
        text = self._text(wanted, create=True) if wanted else b""
        return text if create else _CREATE_DATABASE.sub(b"", text, count=1)

    def schema(self) -> bytes:
        """The SQL of everything but data, without what belongs to the database itself."""
        wanted = [line for line in self.contents if not _kind(line).startswith(_NOT_SCHEMA)]
        return self._text(wanted, create=False)

    def sequences(self) -> dict[str, tuple[int, bool]]:
        """The value each sequence has in this dump, and whether it was called."""
        wanted = [line for line in self.contents if _kind(line).startswith(b"SEQUENCE SET ")]
        text = self._text(wanted, create=False).decode() if wanted else ""
        return {
            name.replace("''", "'").replace("\\\\", "\\"): (int(value), called == "true")
            for name, value, called in _SETVAL.findall(text)
        }

    def _text(self, entries: Iterable[bytes], *, create: bool) -> bytes:
        with tempfile.NamedTemporaryFile(dir=self.path.parent, suffix=".list") as listing:
            listing.write(b"\n".join(entries) + b"\n")
            listing.flush()
            argv = commands.archive_text_argv(
                self.programs, archive=self.path, use_list=Path(listing.name), create=create
            )
            done = subprocess.run(
                argv, capture_output=True, env=tool_environment(), timeout=_TOOL_SECONDS, check=False
            )
        if done.returncode:
            raise OperationFailed(
                f"pg_restore cannot read the dump's contents: {done.stderr.decode()[-300:]}"
            )
        return done.stdout


def _kind(line: bytes) -> bytes:
    found = _ENTRY.match(line)
    return found[4] if found else b""


def head_of(dump: Process, folder: Path, programs: Path) -> Head:
    """The head of what a running pg_dump writes, kept in `folder`; when there is none, pg_dump says why.

    Raises:
        PlatformOpsError: pg_dump failed, or wrote no archive.
    """
    try:
        return read_head(dump.stdout, folder / "head", programs)
    except OperationFailed:
        if dump.popen.wait(_TOOL_SECONDS):
            raise dump.failure() from None
        raise


def read_head(source: IO[bytes], path: Path, programs: Path) -> Head:
    """Copy the archive's start from `source` to `path`, until its whole table of contents is there.

    Raises:
        OperationFailed: what comes is not an archive.
    """
    with path.open("xb") as spool:
        path.chmod(0o600)
        listed = subprocess.Popen(
            commands.archive_list_argv(programs),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=tool_environment(),
            bufsize=0,
        )
        with listed:
            assert listed.stdin is not None and listed.stdout is not None  # noqa: S101 - asked for
            contents = _feed(source, spool, listed)
            stderr = listed.stderr.read() if listed.stderr else b""
    if listed.returncode:
        raise OperationFailed(f"pg_dump wrote no readable archive: {stderr.decode('utf8', 'replace')[-300:]}")
    return Head(path, tuple(line for line in contents.splitlines() if _ENTRY.match(line)), programs)


def _feed(source: IO[bytes], spool: IO[bytes], listed: subprocess.Popen[bytes]) -> bytes:
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


def entries(sql: str) -> Iterator[Entry]:
    """The objects in pg_dump's SQL text, in its order; session settings before the first are dropped."""
    found = list(_HEADER.finditer(sql))
    ends = [*(match.start() for match in found[1:]), len(sql)]
    for match, end in zip(found, ends, strict=False):
        label = f"{match['type']} {match['schema']} {match['name']} owner {match['owner']}"
        yield Entry(label, _normal(sql[match.end() : end]))


def _normal(text: str) -> str:
    """An object's SQL without what differs from run to run or after a correct restore."""
    kept = [
        line
        for line in text.splitlines()
        if line and not line.startswith(("SET default_t", "\\restrict ", "\\unrestrict ", "--"))
    ]
    if any(line.startswith("INHERITS (") for line in kept):
        # Columns that a child shares with its parents come back in the parents' order.
        kept = sorted(line.rstrip(",") for line in kept)
    return "\n".join(kept)
