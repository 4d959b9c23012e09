"""Roles on a managed server, whose master is no superuser: as far as it may make them, and what they lack, in words."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from engine.sources.postgres.archive.globals_sql import RoleStatement, statements_of
from engine.sources.postgres.server.raw_text import to_bytes
from engine.sources.postgres.server.server import Server
from engine.streams.stderr import reason

_STANDS_FOR = """
SELECT rolname FROM pg_catalog.pg_roles WHERE rolname IN
   ('rds_superuser', 'cloudsqlsuperuser', 'alloydbsuperuser', 'azure_pg_admin') AND pg_catalog.pg_has_role(oid, 'MEMBER')
"""
"""What services give in the place of a superuser."""
_OWN = """
SELECT CASE WHEN rolbypassrls THEN 'BYPASSRLS' END, CASE WHEN rolreplication THEN 'REPLICATION' END FROM pg_catalog.pg_roles
 WHERE rolname = CURRENT_USER AND pg_catalog.current_setting('server_version_num')::int >= 160000
"""
"""From PostgreSQL 16 on who makes roles may give what it has itself (CREATE ROLE, "Notes")."""


def create_as_far_as_it_may(
    connection: psycopg.Connection[TupleRow], server: Server, text: str, absent: Sequence[str]
) -> tuple[str, ...]:
    """Create the absent roles of these globals; what could not be given to them, one line for each. All or none.

    Raises:
        psycopg.Error: one cannot be created at all.
    """
    own = server.settings.user
    may_give = frozenset(attribute for (*row,) in connection.execute(_OWN) for attribute in row if attribute)
    instead = next((name for (name,) in connection.execute(_STANDS_FOR)), "")
    lack: list[str] = []
    with connection.transaction():
        for role in absent:
            connection.execute(to_bytes(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)).as_string(None)))
        for statement in statements_of(text, absent):
            given, left = statement.without({"SUPERUSER", "REPLICATION", "BYPASSRLS"} - may_give)
            lack += [_lacking(statement.role, attribute, instead) for attribute in left]
            if (statement.member or statement.role) == own and statement.group:
                given = f"GRANT {statement.group_sql} TO {statement.member_sql};" if statement.joins else ""
            if given:
                lack += _tried(connection, statement, given)
    return tuple(lack)


def _tried(connection: psycopg.Connection[TupleRow], statement: RoleStatement, text: str) -> list[str]:
    try:
        with connection.transaction():
            connection.execute(to_bytes(text))
    except psycopg.DatabaseError as error:
        if connection.closed:
            raise
        return [f"{statement.what}: {reason(str(error))}"]
    return []


def _lacking(role: str, attribute: str, instead: str) -> str:
    more = f" (GRANT {instead} TO it, if it shall administer)" if attribute == "SUPERUSER" and instead else ""
    return f"role {role}: {attribute}{more}"
