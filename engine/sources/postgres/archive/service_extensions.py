"""Extensions that one managed service has and nobody can install elsewhere: a server that lacks one is restored without it.

A dump has two statements for an extension, before any row: what makes it, and its comment. What needs it stays in, and
fails where it is not there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence

SERVICE_ONLY = frozenset(
    {
        *("aws_commons", "aws_lambda", "aws_ml", "aws_s3", "rds_activity_stream", "rds_tools", "log_fdw"),
        *("apg_plan_mgmt", "aurora_stat_utils", "babelfishpg_common", "babelfishpg_tsql", "babelfishpg_money"),
        *(
            "google_columnar_engine",
            "google_db_advisor",
            "google_insights",
            "google_ml_integration",
            "google_vacuum_mgmt",
        ),
        *("azure", "azure_ai", "azure_local_ai", "azure_storage", "pgaadauth", "supabase_vault"),
    }
)
"""Of RDS and Aurora, Cloud SQL and AlloyDB, Azure, Supabase; what can be had elsewhere (PostGIS, pg_cron) is not among them."""
_FREE_TEXT = re.compile(rb"^(?:COPY|CREATE (?:FUNCTION|PROCEDURE)) ", re.MULTILINE)
"""What stands below may be rows or a body of whatever text; extensions come before both."""


def lacking(wanted: Iterable[str], available: Collection[str]) -> frozenset[str]:
    """Those of the wanted extensions that are a service's own and are not there."""
    return (SERVICE_ONLY & {*wanted}) - {*available}


def named(extensions: Iterable[str]) -> tuple[str, ...]:
    """For the manifest: those that are a service's own."""
    found = ", ".join(sorted(SERVICE_ONLY & {*extensions}))
    return (
        (f"the extensions {found} (only this service has them: elsewhere the set is restored without)",)
        if found
        else ()
    )


def without(pieces: Iterable[bytes], extensions: Collection[str]) -> Iterator[bytes]:
    """A dump's SQL without these extensions' statements; from the first function or row on it is passed on as it is."""
    statement = _statement(extensions)
    held = b""
    rest = iter(pieces)
    for piece in rest:
        held += piece
        free = _FREE_TEXT.search(held)
        end = free.start() if free else held.rfind(b"\n") + 1
        yield statement.sub(b"", held[:end])
        held = held[end:]
        if free:
            break
    yield held
    yield from rest


def without_lines(lines: Sequence[bytes], extensions: Collection[str]) -> list[bytes]:
    """The same of a table of contents."""
    if not extensions:
        return [*lines]
    entry = re.compile(rb"^\d+; \d+ \d+ (?:EXTENSION - |COMMENT - EXTENSION )(?:" + _names(extensions) + rb") ")
    return [line for line in lines if not entry.match(line)]


def is_of(label: str, extensions: Collection[str]) -> bool:
    """Whether an object of a schema, by its label, is one of these extensions, or its comment."""
    object_, _, _ = label.partition(" owner ")
    return any(object_ in (f"EXTENSION - {name}", f"COMMENT - EXTENSION {name}") for name in extensions)


def _statement(extensions: Collection[str]) -> re.Pattern[bytes]:
    names = _names(extensions)
    made = rb"CREATE EXTENSION IF NOT EXISTS (?:" + names + rb")(?: WITH SCHEMA [^;\n]*)?;\n"
    commented = rb"COMMENT ON EXTENSION (?:" + names + rb") IS '(?:[^'\n]|'')*';\n"
    return re.compile(rb"^(?:" + made + rb"|" + commented + rb")", re.MULTILINE)


def _names(extensions: Collection[str]) -> bytes:
    return b"|".join(sorted(re.escape(name.encode()) for name in extensions))
