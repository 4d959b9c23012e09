"""What a server has, and what the stock tools would leave out of a backup of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import psycopg
from psycopg.rows import TupleRow

from engine.errors import ConfigurationError
from engine.postgres.database import WORKING_PREFIX
from engine.postgres.server import Server, failed

_DATABASES = """
SELECT datname, datallowconn, datconnlimit = -2, pg_catalog.pg_database_size(oid)
  FROM pg_catalog.pg_database WHERE datname <> 'template0'
 ORDER BY datname <> 'template1', datname COLLATE "C"
"""
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
    """What a manifest says of the server. `version` is text such as `16.4`, `major` a number."""

    version: str
    major: int
    system_identifier: str
    superuser: str
    roles: tuple[str, ...]
    settings: dict[str, str]


@dataclass(frozen=True, slots=True)
class DatabaseFound:
    """A database of the server: `size` in bytes; `skipped` says why it is not dumped ('' when it is)."""

    name: str
    size: int
    skipped: str = ""


def survey_server(server: Server) -> ServerFacts:
    """Version, identity and roles of a server.

    Raises:
        ConfigurationError: the configured role may not read everything, or the server is a standby.
    """
    with server.connect() as connection:
        try:
            return _facts(server, connection)
        except psycopg.Error as error:
            raise failed(f"Reading the catalogue of {server.address} failed", error) from None


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
        version.split()[0], number // 10000, identity[0] if identity else "", bootstrap, roles, settings
    )


def list_databases(server: Server) -> tuple[DatabaseFound, ...]:
    """Every database but template0, in the order of a restore; the ones that cannot or shall not be dumped with the reason."""
    with server.connect() as connection:
        try:
            rows = connection.execute(_DATABASES).fetchall()
        except psycopg.Error as error:
            raise failed(f"Listing the databases of {server.address} failed", error) from None
    return tuple(_found(server, *row) for row in rows)


def _found(server: Server, name: str, connects: bool, invalid: bool, size: int) -> DatabaseFound:
    if invalid:
        return DatabaseFound(name, size, "a dropped database that is left over (invalid)")
    if name.startswith(WORKING_PREFIX):
        return DatabaseFound(name, size, "a restore that was not finished (the next one removes it)")
    if name in server.settings.exclude:
        return DatabaseFound(name, size, "excluded by the configuration")
    if not connects:
        return DatabaseFound(name, size, "it takes no connections (ALLOW_CONNECTIONS false)")
    return DatabaseFound(name, size)


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


_LEFT_OUT = (
    (
        "invalid index {} (pg_dump leaves it out; REINDEX or drop it)",
        "SELECT i.indexrelid::pg_catalog.regclass::text FROM pg_catalog.pg_index i"
        " JOIN pg_catalog.pg_class c ON c.oid = i.indrelid AND c.relkind <> 'p'"
        " JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid AND x.relkind = 'i'"
        " WHERE NOT i.indisvalid AND c.relpersistence <> 't' ORDER BY 1",
    ),
    (
        "rows of foreign table {} (they live on another server)",
        "SELECT ftrelid::pg_catalog.regclass::text FROM pg_catalog.pg_foreign_table ORDER BY 1",
    ),
    (
        "tablespace {} (the files go to the default tablespace unless it exists at the restore)",
        "SELECT DISTINCT pg_catalog.quote_ident(s.spcname) FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_tablespace s ON s.oid = c.reltablespace WHERE s.spcname <> 'pg_global' ORDER BY 1",
    ),
    (
        "password of subscription {} (its connection string is dumped as it is; it comes back disabled)",
        "SELECT pg_catalog.quote_ident(subname) FROM pg_catalog.pg_subscription"
        " WHERE subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())",
    ),
    (
        "settings of table {} held by an extension",
        "SELECT d.objid::pg_catalog.regclass::text FROM pg_catalog.pg_depend d"
        " JOIN pg_catalog.pg_class c ON c.oid = d.objid AND c.relkind = 'r'"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype = 'e'"
        " AND NOT EXISTS (SELECT FROM pg_catalog.pg_extension e WHERE c.oid = ANY (e.extconfig)) AND c.reltuples > 0"
        " ORDER BY 1",
    ),
)


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """What a manifest says of one database; `missing` is what its dump does not carry, in words."""

    encoding: str
    extensions: dict[str, str]
    collations: dict[str, str]
    missing: tuple[str, ...]


def survey_database(connection: psycopg.Connection[TupleRow], database: str) -> DatabaseFacts:
    """Extensions, collation versions and what a dump of this database leaves out."""
    missing = [
        f"{database}: {text.format(row[0])}"
        for text, query in _LEFT_OUT
        for row in connection.execute(query.encode())
    ]
    encoding = connection.execute("SELECT pg_catalog.current_setting('server_encoding')").fetchall()[0][0]
    return DatabaseFacts(
        encoding=encoding,
        extensions=dict(connection.execute(_EXTENSIONS).fetchall()),
        collations=dict(connection.execute(_COLLATIONS.encode()).fetchall()),
        missing=tuple(missing),
    )
