"""What a server has, and what the stock tools would leave out of a backup of it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace

import psycopg
from psycopg.rows import TupleRow

from engine.errors import ConfigurationError, PlatformOpsError
from engine.postgres.database import WORKING_PREFIX
from engine.postgres.left_out import left_out_of_archive, left_out_of_dump, left_out_of_server
from engine.postgres.server import OTHER_ENCODING, Server, failed

_DATABASES = """
SELECT oid::pg_catalog.int8, datname, datallowconn, datconnlimit = -2, pg_catalog.pg_database_size(oid)
  FROM pg_catalog.pg_database WHERE datname <> 'template0'
 ORDER BY datname <> 'template1', datname COLLATE "C"
"""
_THERE = """
SELECT FROM pg_catalog.pg_database WHERE (oid::pg_catalog.int8 = %s OR datname = %s) AND datconnlimit <> -2
"""
"""An invalid one is a DROP that has begun: all that can be done with it is to drop it."""
_DROPPED = "it was dropped while the backup ran"
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
_SHARED_TEXT = """
SELECT rolname::text FROM pg_catalog.pg_roles UNION ALL SELECT datname FROM pg_catalog.pg_database
UNION ALL SELECT spcname FROM pg_catalog.pg_tablespace
UNION ALL SELECT description FROM pg_catalog.pg_shdescription UNION ALL SELECT setconfig::text FROM pg_catalog.pg_db_role_setting
"""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a manifest says of the server. `version` is text such as `16.4`, `major` a number.

    `tls` tells whether our own sessions with it are encrypted, `missing` is what a restore of the whole server does not bring back, in words.
    """

    version: str
    major: int
    system_identifier: str
    superuser: str
    roles: tuple[str, ...]
    settings: dict[str, str]
    tls: bool = False
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DatabaseFound:
    """A database of the server: `size` in bytes; `skipped` says why it is not dumped ('' when it is).

    `oid` tells it from another one that gets its name later; 0 when it is not known.
    """

    name: str
    size: int
    skipped: str = ""
    oid: int = 0

    @property
    def dropped(self) -> bool:
        """Whether it was dropped while the backup ran."""
        return self.skipped == _DROPPED

    def as_dropped(self) -> DatabaseFound:
        return replace(self, skipped=_DROPPED)


def survey_server(server: Server) -> ServerFacts:
    """Version, identity and roles of a server.

    Raises:
        ConfigurationError: the configured role may not read everything.
    """
    with server.connect() as connection:
        try:
            _check_shared_text(server, connection)
            return _facts(server, connection)
        except psycopg.Error as error:
            raise failed(f"Reading the catalogue of {server.address} failed", error) from None


def _check_shared_text(server: Server, connection: psycopg.Connection[TupleRow]) -> None:
    """What belongs to no database may have been written in a session of any encoding: nothing converts it."""
    try:
        connection.execute(_SHARED_TEXT).fetchall()
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"The catalogue of {server.address} has text that is not UTF-8 ({error.object[:60]!r}); {OTHER_ENCODING}."
        ) from None


def _facts(server: Server, connection: psycopg.Connection[TupleRow]) -> ServerFacts:
    row = connection.execute(
        "SELECT pg_catalog.current_setting('server_version_num')::int, pg_catalog.current_setting('server_version'),"
        " (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = CURRENT_USER),"
        " (SELECT rolname FROM pg_catalog.pg_roles WHERE oid = 10)"
    ).fetchone()
    assert row is not None  # noqa: S101 - one row of expressions
    number, version, is_superuser, bootstrap = row
    if not is_superuser:
        raise ConfigurationError(
            f"The role {server.settings.user!r} of {server.address} is no superuser: it cannot read every "
            "table, role and password; give a superuser in user and password."
        )
    identity = connection.execute(
        "SELECT system_identifier::text FROM pg_catalog.pg_control_system()"
    ).fetchone()
    roles = tuple(row[0] for row in connection.execute(_ROLES))
    settings: dict[str, str] = dict(
        connection.execute(
            "SELECT name, setting FROM pg_catalog.pg_settings WHERE name IN"
            " ('server_encoding', 'data_checksums', 'max_connections', 'shared_preload_libraries', 'wal_level')"
        ).fetchall()
    )
    return ServerFacts(
        version=version.split()[0],
        major=number // 10000,
        system_identifier=identity[0] if identity else "",
        superuser=bootstrap,
        roles=roles,
        settings=settings,
        tls=connection.pgconn.ssl_in_use,
        missing=left_out_of_server(connection),
    )


def list_databases(server: Server) -> tuple[DatabaseFound, ...]:
    """Every database but template0, in the order of a restore; the ones that cannot or shall not be dumped with the reason."""
    with server.connect() as connection:
        try:
            rows = connection.execute(_DATABASES).fetchall()
        except psycopg.Error as error:
            raise failed(f"Listing the databases of {server.address} failed", error) from None
    return tuple(
        DatabaseFound(name, size, _skipped(server, name, connects, invalid), oid)
        for oid, name, connects, invalid, size in rows
    )


def _skipped(server: Server, name: str, connects: bool, invalid: bool) -> str:
    if invalid:
        return "a dropped database that is left over (invalid)"
    if name.startswith(WORKING_PREFIX):
        return "a restore that was not finished (the next restore or backup removes it)"
    if name in server.settings.exclude:
        return "excluded by the configuration"
    if "\n" in name or "\r" in name:
        return "its name holds a line break, which pg_dump refuses (rename it)"
    return "" if connects else "it takes no connections (ALLOW_CONNECTIONS false)"


def was_dropped(server: Server, database: DatabaseFound) -> bool:
    """Whether a database that was found is there no more, for certain: neither under its oid nor under its name.

    False also when the server cannot be asked.
    """
    with suppress(PlatformOpsError):
        with suppress(PlatformOpsError):
            server.connect(database.name).close()  # this waits for a DROP that has begun
        with server.connect() as connection:
            return not connection.execute(_THERE, (database.oid, database.name)).fetchall()
    return False


def excluded_but_unknown(found: Iterable[DatabaseFound], server: Server) -> tuple[str, ...]:
    """Names in `exclude` that the server does not have: a database that was renamed or dropped, or a slip."""
    names = {database.name for database in found} | {"template0"}
    return tuple(name for name in server.settings.exclude if name not in names)


def chosen(
    found: Iterable[DatabaseFound], wanted: Iterable[str], server: Server
) -> tuple[DatabaseFound, ...]:
    """The databases to dump: all that can be, or the wanted ones.

    Raises:
        ConfigurationError: a wanted one does not exist or cannot be dumped.
    """
    by_name = {database.name: database for database in found}
    names = tuple(wanted) or tuple(name for name, database in by_name.items() if not database.skipped)
    for name in names:
        if name not in by_name:
            known = ", ".join(sorted(by_name)[:20])
            raise ConfigurationError(f"{server.address} has no database {name!r}; it has: {known}.")
        if by_name[name].skipped:
            raise ConfigurationError(
                f"Database {name!r} of {server.address} cannot be dumped: {by_name[name].skipped}."
            )
    return tuple(by_name[name] for name in names)


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """What a manifest says of one database.

    `missing` is what its dump does not carry, `alone` what more its own set lacks or asks for, in words.
    """

    encoding: str
    extensions: dict[str, str]
    collations: dict[str, str]
    missing: tuple[str, ...]
    alone: tuple[str, ...]


def survey_database(connection: psycopg.Connection[TupleRow], database: str) -> DatabaseFacts:
    """Extensions, collation versions and what a dump of this database leaves out."""
    encoding = connection.execute("SELECT pg_catalog.current_setting('server_encoding')").fetchall()[0][0]
    return DatabaseFacts(
        encoding=encoding,
        extensions=dict(connection.execute(_EXTENSIONS).fetchall()),
        collations=dict(connection.execute(_COLLATIONS.encode()).fetchall()),
        missing=tuple(f"{database}: {line}" for line in left_out_of_dump(connection)),
        alone=tuple(f"{database}: {line}" for line in left_out_of_archive(connection)),
    )
