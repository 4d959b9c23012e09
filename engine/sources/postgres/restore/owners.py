"""What a role that is no superuser needs to give objects to their owners, for as long as a restore takes.

ALTER ... OWNER TO asks that it may act as the new owner, and that the owner may create such a thing there (PostgreSQL's
manual of each ALTER, "Notes"). A dump gives the owners' rights last. So the restoring role becomes a member of the
owners, and these may create in the working database and its schemas, until what was granted for that is taken back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from engine.errors import CouldNotVerify, PlatformOpsError
from engine.sources.postgres.archive.dump_sql import entries
from engine.sources.postgres.proof.proof import DatabaseProof
from engine.sources.postgres.restore.replay import APPLICATION
from engine.sources.postgres.server.server import Server, failed

_MEMBER_SINCE = 160000
"""From PostgreSQL 16 on a membership says apart whether its rights are inherited and whether one may act as the role."""
_ACTS_AS = """
SELECT r.rolname FROM pg_catalog.pg_roles r WHERE r.rolname = ANY (%s) AND r.rolname !~ '^pg_'
   AND NOT (pg_catalog.pg_has_role(r.oid, 'USAGE') AND pg_catalog.pg_has_role(r.oid, '{}'))
"""
_HELD = """
SELECT (o->>'inherit_option')::bool, (o->>'set_option')::bool FROM pg_catalog.pg_auth_members m
 CROSS JOIN LATERAL pg_catalog.to_jsonb(m) AS o
 WHERE m.roleid = %s::text::pg_catalog.regrole AND m.member = CURRENT_USER::text::pg_catalog.regrole
   AND (m.grantor = m.member OR o->>'set_option' IS NULL)
"""
_OWNER = """
SELECT pg_catalog.pg_get_userbyid(datdba) FROM pg_catalog.pg_database WHERE datname = ANY (%s)
"""
_GRANTORS = "SELECT pg_catalog.pg_get_userbyid(grantor) FROM pg_catalog.aclexplode(%s::pg_catalog.aclitem[])"
_NEED_DATABASE = ("SCHEMA", "PUBLICATION")


@contextmanager
def acting_for_owners(server: Server, proof: DatabaseProof, live: Sequence[str], *, required: bool) -> Iterator[None]:
    """For a block that restores: the server's role may act as whoever owns something in the database, or the `live` ones.

    Raises:
        CouldNotVerify: it may not, and that is `required`.
    """
    undo: list[sql.Composed] = []
    try:
        with server.connect(application=APPLICATION) as connection:
            for role in _needed(connection, proof, live):
                try:
                    as_it_was = _as_it_was(connection, role)
                    connection.execute(_membership(connection, role, inherits=True, acts=True))
                    undo.append(as_it_was)
                except psycopg.DatabaseError as error:
                    if required:
                        raise _may_not(server, role, proof, error) from None
        yield
    finally:
        if undo:
            with suppress(PlatformOpsError), server.connect(application=APPLICATION) as connection:
                for statement in undo:
                    with suppress(psycopg.Error):
                        connection.execute(statement)


def _needed(connection: psycopg.Connection[TupleRow], proof: DatabaseProof, live: Sequence[str]) -> list[str]:
    """The owners, and who granted, as which the session's role may not act yet."""
    properties = proof.properties
    owners = {entry.owner for entry in entries(proof.schema_sql)} | {properties.owner}
    owners |= {name for (name,) in connection.execute(_GRANTORS, (list(properties.acl),))} if properties.acl else set()
    owners |= {name for (name,) in connection.execute(_OWNER, (list(live),))}
    right = "SET" if connection.info.server_version >= _MEMBER_SINCE else "MEMBER"
    return [name for (name,) in connection.execute(_ACTS_AS.format(right).encode(), (sorted(owners),))]


def _membership(connection: psycopg.Connection[TupleRow], role: str, *, inherits: bool, acts: bool) -> sql.Composed:
    statement = sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(role))
    if connection.info.server_version < _MEMBER_SINCE:
        return statement
    return statement + sql.SQL(" WITH INHERIT {}, SET {}").format(inherits, acts)


def _as_it_was(connection: psycopg.Connection[TupleRow], role: str) -> sql.Composed:
    """What takes back that the session's role became a member: not what it was before."""
    name = sql.Identifier(role)
    if held := connection.execute(_HELD, (name.as_string(connection),)).fetchone():
        return _membership(connection, role, inherits=held[0], acts=held[1])
    return sql.SQL("REVOKE {} FROM CURRENT_USER").format(name)


def _may_not(server: Server, role: str, proof: DatabaseProof, error: psycopg.Error) -> CouldNotVerify:
    owned = next(
        (entry.label for entry in entries(proof.schema_sql) if entry.owner == role), f"database {proof.database}"
    )
    return CouldNotVerify(
        f"The role {server.settings.user!r} of {server.address} may not act as {role!r}, who owns {owned} in the set: "
        f"{str(error).splitlines()[0]}; GRANT {role} TO {server.settings.user}, or take what comes back without with "
        "--despite-errors."
    )


@contextmanager
def owners_may_create(server: Server, database: str, proof: DatabaseProof) -> Iterator[None]:
    """For a block that fills `database`: who is to own a schema or a publication may create in it."""
    owners = {entry.owner for entry in entries(proof.schema_sql) if entry.type in _NEED_DATABASE}
    place = sql.SQL("DATABASE {}").format(sql.Identifier(database))
    with _may_create(server, database, [(place, "database", database, owner) for owner in sorted(owners)]):
        yield


@contextmanager
def owners_may_create_in_schemas(server: Server, database: str, proof: DatabaseProof) -> Iterator[None]:
    """For a block that makes what is in the schemas, which are there: who is to own something in one may create in it."""
    pairs = {(entry.schema, entry.owner) for entry in entries(proof.schema_sql) if entry.schema != "-"}
    places = [
        (sql.SQL("SCHEMA {}").format(sql.Identifier(schema)), "schema", schema, owner)
        for schema, owner in sorted(pairs)
    ]
    with _may_create(server, database, places):
        yield


_Grantable = tuple[sql.Composed, str, str, str]
"""A database or schema as SQL, which of the two, its name, and who shall create in it."""


@contextmanager
def _may_create(server: Server, database: str, places: Collection[_Grantable]) -> Iterator[None]:
    granted = []
    with server.connect(database, application=APPLICATION) as connection:
        for place, kind, name, owner in places:
            there = "SELECT FROM pg_catalog.pg_roles WHERE rolname = %s"
            may = f"SELECT pg_catalog.has_{kind}_privilege(%s, %s, 'CREATE')".encode()
            try:
                if not connection.execute(there, (owner,)).fetchall():
                    continue  # '-': it has none
                if not connection.execute(may, (owner, name)).fetchall()[0][0]:
                    connection.execute(sql.SQL("GRANT CREATE ON {} TO {}").format(place, sql.Identifier(owner)))
                    granted.append((place, owner))
            except (psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidSchemaName):
                continue  # what needs it says so
            except psycopg.Error as error:
                raise failed(f"Preparing the restored {name!r} for its owners failed", error) from None
    yield
    with server.connect(database, application=APPLICATION) as connection:
        for place, owner in granted:
            connection.execute(sql.SQL("REVOKE CREATE ON {} FROM {}").format(place, sql.Identifier(owner)))
