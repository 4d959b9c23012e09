"""What the role of a session may do, where it is no superuser: managed servers (RDS, Cloud SQL, Supabase) give none."""

from __future__ import annotations

import psycopg
from psycopg.rows import TupleRow

from engine.sources.postgres.server.sql_files import read_sql

MAY_END = read_sql(__name__, "may_end")
"""Whether the session's role may end the session `a` of pg_stat_activity: pg_terminate_backend would refuse with an error."""


def is_superuser(connection: psycopg.Connection[TupleRow]) -> bool:
    """Whether it may do all; the server tells each session so, unasked."""
    return connection.info.parameter_status("is_superuser") == "on"


def reads_passwords(connection: psycopg.Connection[TupleRow]) -> bool:
    """Whether it may read the roles' password verifiers. Only trying tells: RDS keeps them also from who has the right."""
    if is_superuser(connection):
        return True
    try:
        connection.execute("SELECT rolpassword FROM pg_catalog.pg_authid LIMIT 1")
    except psycopg.Error:
        return False
    return True
