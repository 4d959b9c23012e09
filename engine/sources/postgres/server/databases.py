"""Which databases a server has, and which of them a run dumps."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import psycopg

from engine.errors import PlatformOpsError
from engine.sources.item import Item
from engine.sources.postgres.kinds import DATABASE
from engine.sources.postgres.server.raw_text import is_utf8, unconverted
from engine.sources.postgres.server.rights import is_superuser
from engine.sources.postgres.server.server import Server, failed
from engine.sources.postgres.server.working import WORKING_PREFIX

_DATABASES = """
SELECT oid::pg_catalog.int8, datname, datallowconn, datconnlimit = -2, pg_catalog.has_database_privilege(oid, 'CONNECT'),
       CASE WHEN pg_catalog.has_database_privilege(oid, 'CONNECT') OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')
            THEN pg_catalog.pg_database_size(oid) ELSE 0 END
  FROM pg_catalog.pg_database WHERE datname <> 'template0'
 ORDER BY datname <> 'template1', datname COLLATE "C"
"""
_OF_THE_SERVICE = ("rdsadmin", "cloudsqladmin", "alloydbadmin", "alloydbmetadata", "azure_maintenance", "azure_sys")
"""What RDS, Cloud SQL, AlloyDB and Azure keep for themselves, whatever the privileges on it say."""
_THERE = """
SELECT FROM pg_catalog.pg_database WHERE (oid::pg_catalog.int8 = %s OR datname = %s) AND datconnlimit <> -2
"""
"""An invalid one is a DROP that has begun: all that can be done with it is to drop it."""


@dataclass(frozen=True)
class DatabaseFound(Item):
    """A database of the server. `oid` tells it from another one that gets its name later; 0 when it is not known."""

    kind: str = DATABASE.name
    oid: int = 0


def list_databases(server: Server) -> tuple[DatabaseFound, ...]:
    """Every database but template0, in the order of a restore; the ones that cannot or shall not be dumped with the reason."""
    with server.connect() as connection:
        try:
            with unconverted(connection):
                rows = connection.execute(_DATABASES).fetchall()
                managed = not is_superuser(connection)
        except psycopg.Error as error:
            raise failed(f"Listing the databases of {server.address} failed", error) from None
    return tuple(
        DatabaseFound(name=name, size=size, skipped=_skipped(server, name, connects, invalid, may, managed), oid=oid)
        for oid, name, connects, invalid, may, size in rows
    )


def _skipped(server: Server, name: str, connects: bool, invalid: bool, may: bool, managed: bool) -> str:
    if invalid:
        return "a dropped database that is left over (invalid)"
    if not is_utf8(name):
        return "its name is no UTF-8, so no session can ask for it (rename it)"
    if name.startswith(WORKING_PREFIX):
        return "a restore that was not finished (the next restore or backup removes it)"
    if name in server.settings.exclude:
        return "excluded by the configuration"
    if "\n" in name or "\r" in name:
        return "its name holds a line break, which pg_dump refuses (rename it)"
    if managed and name in _OF_THE_SERVICE:
        return "it belongs to the managed service, whose users have no business in it"
    if not may:
        return f"the role {server.settings.user!r} may not connect to it (GRANT CONNECT ON DATABASE)"
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
