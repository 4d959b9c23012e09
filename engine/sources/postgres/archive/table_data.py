"""The rows of an archive as text, cut into pieces that several sessions can load at once.

What is read is the output of `pg_restore --file=-` for table data alone: settings, then for each
table its COPY statement, its rows and a line with a full stop after a backslash, which no row is.
Each row is a line, so a table may be cut at any of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from engine.streams.pack import CHUNK

_BEGIN = re.compile(rb"^COPY ", re.MULTILINE)
_COPY = re.compile(rb'COPY (?P<table>(?:[^" ]|"[^"]*")+) (?:[^"]|"[^"]*")*?FROM stdin;\n')
"""A quoted name may hold anything, line breaks and the words of a COPY too: it is matched where one begins."""
_PASSED_OVER = (b"--", b"\\")  # comments, and psql's own commands
_END = b"\\.\n"


@dataclass(frozen=True, slots=True)
class TableCopy:
    """One table's COPY: its name as SQL, the statement, and the settings its rows are read under."""

    table: bytes
    statement: bytes
    settings: bytes


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of a table. `unfinished`: the last one goes on in what comes next."""

    copy: TableCopy
    data: bytes
    unfinished: bool = False


class FoundCopy(NamedTuple):
    """A COPY statement in a text, and where."""

    copy: TableCopy
    start: int
    end: int


def copy_of(text: bytes, settings: bytes) -> FoundCopy | None:
    """The first whole COPY statement in pg_restore's text; None when there is none yet."""
    begin = _BEGIN.search(text)
    found = begin and _COPY.match(text, begin.start())
    if not found:
        return None
    return FoundCopy(TableCopy(found["table"], found[0].rstrip(b";\n"), settings), *found.span())


def rows_of(pieces: Iterable[bytes], size: int = CHUNK) -> Iterator[Rows]:
    """The rows in `pieces`; at most about `size` bytes are held back.

    Raises:
        BrokenPipeError: the text ends inside a table; who writes it says why.
    """
    copy: TableCopy | None = None
    settings = held = b""
    at_line_start = True
    for piece in pieces:
        held += piece
        while held:
            if copy is None:
                found = copy_of(held, settings)
                if found is None:
                    break
                settings = settings or settings_of(held[: found.start])
                copy = replace(found.copy, settings=settings)
                held, at_line_start = held[found.end :], True
                continue
            end = _end(held, at_line_start)
            if end is None:
                cut = held.rfind(b"\n") + 1 or (len(held) if len(held) > max(size, len(_END)) else 0)
                if cut:
                    at_line_start = held[cut - 1 : cut] == b"\n"
                    yield Rows(copy, held[:cut], not at_line_start)
                held = held[cut:]
                break
            if end:
                yield Rows(copy, held[:end])
            held, copy = held[end + len(_END) :], None
    if copy is not None:
        raise BrokenPipeError(f"the rows of {copy.table.decode('utf8', 'replace')} end too early")


def _end(held: bytes, at_line_start: bool) -> int | None:
    """Where the line that ends a table begins."""
    if at_line_start and held.startswith(_END):
        return 0
    found = held.find(b"\n" + _END)
    return None if found < 0 else found + 1


def settings_of(header: bytes) -> bytes:
    """The SQL that comes before all else in pg_restore's text."""
    lines = header.splitlines(keepends=True)
    return b"".join(line for line in lines if not line.startswith(_PASSED_OVER))
