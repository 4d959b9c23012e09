"""A database as an object: make it, give it what it had, name it, and drop what a killed run left."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from engine.errors import CouldNotVerify
from engine.sources.postgres.proof.proof import DatabaseProperties
from engine.sources.postgres.server.server import Server, failed
from engine.sources.postgres.server.setting_sql import setting_sql
from engine.streams.stderr import reason

_NAME_BYTES = 63
_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}


def fitting_name(database: str, suffix: str) -> str:
    """`database` and `suffix`; where that is too long for a name, the first is cut at a character.

    Names that begin alike are still told apart then: a part of its SHA-256 stands for the rest.
    """
    whole = database + suffix
    if len(whole.encode()) <= _NAME_BYTES:
        return whole
    ending = f"_{hashlib.sha256(database.encode()).hexdigest()[:8]}{suffix}"
    room = _NAME_BYTES - len(ending.encode())
    return database.encode()[:room].decode("utf8", "ignore") + ending


def create_database(server: Server, name: str, properties: DatabaseProperties) -> None:
    """An empty database with the encoding and the collation of the one that was backed up.

    Raises:
        CouldNotVerify: this server lacks its locale.
    """
    parts = [
        sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {}").format(
            sql.Identifier(name), sql.Literal(properties.encoding)
        ),
        sql.SQL("LC_COLLATE {} LC_CTYPE {}").format(sql.Literal(properties.collate), sql.Literal(properties.ctype)),
    ]
    if properties.provider != "c":
        option = "ICU_LOCALE" if properties.provider == "i" else "BUILTIN_LOCALE"
        provider = sql.SQL(f"LOCALE_PROVIDER {_PROVIDERS[properties.provider]} {option} {{}}")
        parts.append(provider.format(sql.Literal(properties.locale)))
    if properties.icu_rules:
        parts.append(sql.SQL("ICU_RULES {}").format(sql.Literal(properties.icu_rules)))
    with server.connect() as connection:
        try:
            connection.execute(sql.SQL(" ").join(parts))
        except (psycopg.errors.WrongObjectType, psycopg.errors.InvalidParameterValue) as error:
            raise CouldNotVerify(
                f"{server.address} cannot make a database with locale {properties.collate!r}: "
                f"{reason(str(error))}; install the locale on its host."
            ) from None
        except psycopg.Error as error:
            raise failed(f"Creating a database on {server.address} failed", error) from None


def apply_properties(server: Server, name: str, properties: DatabaseProperties) -> None:
    """Owner, privileges, settings, comment and connection limit, as they were."""
    database = sql.Identifier(name)
    with server.connect() as connection:
        try:
            for role, assignment in sorted(properties.settings):  # of all roles first
                connection.execute(_setting(database, role, assignment))
            connection.execute(
                sql.SQL("ALTER DATABASE {} OWNER TO {}").format(database, sql.Identifier(properties.owner))
            )
            connection.execute(
                sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}").format(
                    database, sql.Literal(properties.connection_limit)
                )
            )
            connection.execute(
                sql.SQL("ALTER DATABASE {} IS_TEMPLATE {}").format(database, sql.Literal(properties.template))
            )
            if properties.comment:
                comment = sql.SQL("COMMENT ON DATABASE {} IS {}").format(database, sql.Literal(properties.comment))
                connection.execute(comment)
            _apply_privileges(connection, database, properties)
        except psycopg.Error as error:
            raise failed(f"Giving {name!r} the owner, privileges and settings it had failed", error) from None


class _Grant(NamedTuple):
    """`grantee` None: all roles."""

    grantee: str | None
    privilege: str
    grantable: bool
    grantor: str


def _apply_privileges(
    connection: psycopg.Connection[TupleRow], database: sql.Identifier, properties: DatabaseProperties
) -> None:
    rows = connection.execute(
        "SELECT CASE WHEN a.grantee <> 0 THEN pg_catalog.pg_get_userbyid(a.grantee) END,"
        " a.privilege_type, a.is_grantable, pg_catalog.pg_get_userbyid(a.grantor)"
        " FROM pg_catalog.aclexplode(%s::pg_catalog.aclitem[]) WITH ORDINALITY AS a(grantor, grantee, privilege_type, is_grantable, at)"
        " ORDER BY a.at",
        (list(properties.acl),),
    ).fetchall()
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM {}").format(database, sql.Identifier(properties.owner)))
    for grant in _each_after_its_grantor([_Grant(*row) for row in rows], properties.owner):
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(grant.grantor)))
        connection.execute(
            sql.SQL("GRANT {} ON DATABASE {} TO {}{}").format(
                sql.SQL(grant.privilege),
                database,
                sql.SQL("PUBLIC") if grant.grantee is None else sql.Identifier(grant.grantee),
                sql.SQL(" WITH GRANT OPTION" if grant.grantable else ""),
            )
        )
    connection.execute("RESET ROLE")


def _each_after_its_grantor(grants: Sequence[_Grant], owner: str) -> Iterator[_Grant]:
    """The grants, each when its grantor is the owner or has got the privilege with grant option; the others are left out.

    What is left out the comparison with the proof tells.
    """
    left, held = list(grants), {(owner, grant.privilege) for grant in grants}
    while possible := [grant for grant in left if (grant.grantor, grant.privilege) in held]:
        yield from possible
        left = [grant for grant in left if grant not in possible]
        held |= {(grant.grantee, grant.privilege) for grant in possible if grant.grantable and grant.grantee}


def _setting(database: sql.Identifier, role: str, assignment: str) -> sql.Composed:
    """`name=value`, for all roles or one, as ALTER DATABASE or ALTER ROLE IN DATABASE."""
    whose = sql.SQL("ALTER DATABASE {}").format(database)
    if role:
        whose = sql.SQL("ALTER ROLE {} IN DATABASE {}").format(sql.Identifier(role), database)
    return setting_sql(whose, assignment)
