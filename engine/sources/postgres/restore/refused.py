"""Who is to blame when a server refuses a statement of a set: the server that lacks something, or the source."""

from __future__ import annotations

import re
from collections.abc import Iterable

from engine.errors import CouldNotVerify, DamagedSet, OperationFailed

_LACKING = re.compile(
    r"invalid (?:LC_COLLATE|LC_CTYPE|locale|ICU|builtin)|could not create locale|not supported (?:in|by) this build"
    r"|compression method \S+ not supported|could not access file|could not load library"
    r"|collation \"[^\"]*\" for encoding \"[^\"]*\" does not exist"
    r"|invalid value for parameter \"|time zone \"[^\"]*\" not recognized"
    r"|could not open (?:dictionary|affix|stop-word|synonym|thesaurus) file"
    r"|too many clients already|remaining connection slots are reserved|too many connections for"
    r"|extension \"[^\"]*\" (?:is not available|has no installation script|has no update path)"
    r"|could not open extension control file"
    r"|security label provider \"[^\"]*\" is not loaded"
    r"|No space left on device|out of memory|could not resize shared memory|out of shared memory"
    r"|could not (?:extend|write|create|open) (?:file|directory|temporary file)[^;]*: (?:No space|Disk quota|Permission)"
    r"|server closed the connection unexpectedly|connection to server was lost|terminating connection because of crash"
    r"|the database system is (?:in recovery mode|shutting down|starting up)|Connection refused|terminated by user"
    r"|is being accessed by other users|canceling statement due to (?:statement|lock) timeout"
)
"""What is said when the server, not the set, is at fault: a locale, a time zone (any value of a setting that it does not
take), a dictionary, a library, an extension, a build option, a free session, a database nobody is in, room, memory or a right on a file is missing, or it went away (a full disk of its log ends all of it). What a
superuser may not do says nothing of the server."""
_MAY_NOT = re.compile(
    r"permission denied|must be (?:a )?(?:superuser|owner|member)|must be able to SET ROLE|must have CREATEROLE|Only roles with"
    r"|non-superuser",
    re.IGNORECASE,
)
"""What is said to who is no superuser."""

_PSQL_LINE = re.compile(r"psql:<stdin>:(\d+): ERROR")
_NAMED = re.compile(rb"^-- (?:Data for )?Name: (.*); Type: ([A-Z ]+); Schema: (.*); Owner: .*$")
_LONGEST = 1 << 16


def lacks(stderr: str) -> bool:
    """Whether what a program or a server said names something that this server lacks."""
    # A language whose handler no dump carries is looked for as an extension.
    return _LACKING.search(stderr) is not None and "PROCEDURAL LANGUAGE" not in stderr


def refused(
    error: OperationFailed, stderr: str, where: str, named: str = "", *, superuser: bool = True
) -> OperationFailed | CouldNotVerify:
    """`error` of a statement, by whose fault it is.

    `stderr` is all that was said, `where` names the server, `named` the object. The set's stored bytes have been compared.
    `superuser`: who restores is one.
    """
    if not superuser and _MAY_NOT.search(stderr):
        return CouldNotVerify(
            f"{error}{f' That is of {named}.' if named else ''} The role that restores into {where} is no superuser and may "
            "not do that; nothing is held against the set. `restore --despite-errors` brings back all else."
        )
    if lacks(stderr):
        return CouldNotVerify(
            f"{where} lacks what this set needs, and nothing is held against the set: {error} Give it that, or use "
            "another server like the source."
        )
    return DamagedSet(
        f"{error}{f' That is of {named}.' if named else ''} The stored bytes are those of the manifest, so the source "
        "itself holds what no restore takes: the next backup will be the same until it is changed there. "
        "`restore --despite-errors` brings back all else."
    )


def refused_line(stderr: str) -> int | None:
    """The line of the SQL on psql's stdin whose statement was refused; None where psql does not say."""
    found = _PSQL_LINE.search(stderr)
    return int(found[1]) if found else None


def object_at(pieces: Iterable[bytes], line: int) -> str:
    """The object whose SQL is at this line of a dump's text, in pg_dump's words; '' when none is named before it."""
    named, held, number = "", b"", 1
    for piece in pieces:
        *lines, held = (held + piece).split(b"\n")
        for text in lines:
            if number > line:
                return named
            if text.startswith(b"-- ") and (found := _NAMED.match(text)):
                name, kind, schema = (part.decode("utf8", "replace") for part in found.groups())
                named = f"{kind} {name}" if schema == "-" else f"{kind} {schema}.{name}"
            number += 1
        held = held[-_LONGEST:]
    return named
