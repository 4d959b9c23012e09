"""What a manifest says of a server and of each database, with what the stock tools would leave out."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg.rows import TupleRow

from engine.errors import ConfigurationError
from engine.sources.postgres.server.omissions import (
    omitted_from_archive,
    omitted_from_dump,
    omitted_from_roles,
    omitted_from_server,
)
from engine.sources.postgres.server.raw_text import is_utf8, to_bytes, unconverted
from engine.sources.postgres.server.rights import is_superuser, reads_passwords
from engine.sources.postgres.server.server import Server, failed

_EXTENSIONS = "SELECT extname, extversion FROM pg_catalog.pg_extension ORDER BY 1"
_COLLATIONS = """
SELECT 'database', COALESCE(datcollversion, '') FROM pg_catalog.pg_database
 WHERE datname = pg_catalog.current_database()
UNION ALL
SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.collname), COALESCE(c.collversion, '')
  FROM pg_catalog.pg_collation c JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace
 WHERE n.nspname <> 'pg_catalog'
"""
_ROLES = "SELECT rolname FROM pg_catalog.pg_roles WHERE rolname !~ '^pg_' ORDER BY rolname COLLATE \"C\""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a manifest says of the server. `version` is text such as `16.4`, `major` a number.

    `tls` tells whether our own sessions with it are encrypted, `missing` is what a restore of the whole server does not
    bring back, in words. `passwords`: the roles' verifiers can be read; where not, `passwords_missing` says so.
    `superuser_rights`: the configured role is a superuser; `makes_databases`: it may.
    """

    version: str
    major: int
    system_identifier: str
    superuser: str
    roles: tuple[str, ...]
    settings: dict[str, str]
    tls: bool = False
    missing: tuple[str, ...] = ()
    passwords: bool = True
    passwords_missing: tuple[str, ...] = ()
    superuser_rights: bool = True
    makes_databases: bool = True


def survey_server(server: Server) -> ServerFacts:
    """Version, identity and roles of a server.

    Raises:
        ConfigurationError: a role has a name that no stock tool takes.
    """
    with server.connect() as connection:
        try:
            return _facts(server, connection)
        except psycopg.Error as error:
            raise failed(f"Reading the catalogue of {server.address} failed", error) from None


def _facts(server: Server, connection: psycopg.Connection[TupleRow]) -> ServerFacts:
    row = connection.execute(
        "SELECT pg_catalog.current_setting('server_version_num')::int, pg_catalog.current_setting('server_version'),"
        " (SELECT rolname FROM pg_catalog.pg_roles WHERE oid = 10),"
        " (SELECT rolsuper OR rolcreatedb FROM pg_catalog.pg_roles WHERE rolname = CURRENT_USER)"
    ).fetchone()
    assert row is not None  # noqa: S101 - one row of expressions
    number, version, bootstrap, makes_databases = row
    passwords = reads_passwords(connection)
    with unconverted(connection):
        roles = tuple(row[0] for row in connection.execute(_ROLES))
    if bad := [role for role in roles if not is_utf8(role)]:
        raise ConfigurationError(
            f"The role {to_bytes(bad[0])!r} of {server.address} has a name that is no UTF-8, which pg_dumpall refuses: rename "
            "it, in a session of the database that it was made in."
        )
    settings: dict[str, str] = dict(
        connection.execute(
            "SELECT name, setting FROM pg_catalog.pg_settings WHERE name IN"
            " ('server_encoding', 'data_checksums', 'max_connections', 'shared_preload_libraries', 'wal_level')"
        ).fetchall()
    )
    return ServerFacts(
        version=version.split()[0],
        major=number // 10000,
        system_identifier=_system_identifier(connection),
        superuser=bootstrap,
        roles=roles,
        settings=settings,
        tls=connection.pgconn.ssl_in_use,
        missing=omitted_from_server(connection),
        passwords_missing=() if passwords else omitted_from_roles(connection),
        passwords=passwords,
        superuser_rights=is_superuser(connection),
        makes_databases=makes_databases,
    )


def _system_identifier(connection: psycopg.Connection[TupleRow]) -> str:
    """'' where the server keeps it to itself."""
    try:
        query = "SELECT pg_catalog.concat(system_identifier) FROM pg_catalog.pg_control_system()"
        return str(connection.execute(query).fetchall()[0][0])
    except (psycopg.ProgrammingError, psycopg.NotSupportedError):
        if is_superuser(connection):
            raise
        return ""


@dataclass(frozen=True, slots=True)
class SurveyedDatabase:
    """What a manifest says of one database.

    `missing` is what its dump does not carry, `alone` what more its own set lacks or asks for, in words.
    """

    extensions: dict[str, str]
    collations: dict[str, str]
    missing: tuple[str, ...]
    alone: tuple[str, ...]


def survey_database(connection: psycopg.Connection[TupleRow], database: str) -> SurveyedDatabase:
    """Extensions, collation versions and what a dump of this database leaves out."""
    return SurveyedDatabase(
        extensions=dict(connection.execute(_EXTENSIONS).fetchall()),
        collations=dict(connection.execute(_COLLATIONS.encode()).fetchall()),
        missing=tuple(f"{database}: {line}" for line in omitted_from_dump(connection)),
        alone=tuple(f"{database}: {line}" for line in omitted_from_archive(connection)),
    )
