"""The roles of a server as they must come back, with their memberships, settings and privileges."""

from __future__ import annotations

import hashlib

import psycopg
from psycopg.rows import TupleRow
from pydantic import BaseModel, ConfigDict

from engine.sources.postgres.server.raw_text import unconverted
from engine.sources.postgres.server.sql_files import read_sql

_QUERY = read_sql(__name__, "roles")
_ROLES = _QUERY.replace("{password}", "COALESCE(r.rolpassword, '')").replace("{roles}", "pg_catalog.pg_authid")
_WITHOUT_PASSWORDS = _QUERY.replace("{password}", "''").replace("{roles}", "pg_catalog.pg_roles")
"""What built-in roles are to each other pg_dumpall leaves out. Before 16 (no set_option) who granted a membership may be a role that is gone: pg_dumpall leaves it out."""
_FOR_ALL = """
SELECT u.item FROM pg_catalog.pg_db_role_setting s CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS u(item)
 WHERE s.setrole = 0 AND s.setdatabase = 0 ORDER BY u.item COLLATE "C"
"""
_PARAMETERS = """
SELECT CASE WHEN x.grantee = 0 THEN 'public' ELSE pg_catalog.pg_get_userbyid(x.grantee) END,
       pg_catalog.concat_ws(' ', x.privilege_type, 'on', p.parname, 'by', pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(x.grantor)),
           CASE WHEN x.is_grantable THEN 'grantable' END)
  FROM pg_catalog.pg_parameter_acl p CROSS JOIN LATERAL pg_catalog.aclexplode(p.paracl) AS x
 WHERE x.grantee <> 10
 ORDER BY 1, 2
"""
_PARAMETERS_SINCE = 150000
_ATTRIBUTES = ("superuser", "inherit", "createrole", "createdb", "login", "replication", "bypassrls")
EVERYBODY = "public"
"""No role can have this name: under it stands what is set or granted for all roles."""


class RoleProof(BaseModel):
    """A role as it must come back. `password` is a SHA-256 of the stored verifier, '' for none;
    `parameters` are its privileges on settings of the server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    attributes: str
    password: str
    valid_until: str
    comment: str
    settings: tuple[str, ...]
    member_of: tuple[str, ...]
    parameters: tuple[str, ...] = ()


BARE = RoleProof(attributes="inherit limit=-1", password="", valid_until="", comment="", settings=(), member_of=())
"""What CREATE ROLE makes. (No password is '' here.)"""
Roles = dict[str, RoleProof]
"""Roles by name."""


def read_roles(connection: psycopg.Connection[TupleRow], *, passwords: bool = True) -> Roles:
    """Every role of the server, and what all roles have as the role `EVERYBODY`.

    Of the built-in ones only what pg_dumpall carries: their memberships in others, and privileges on parameters.
    `passwords`: the session's role may read them; all are '' where it may not.
    """
    held: dict[str, list[str]] = {}
    with unconverted(connection):
        query = _ROLES if passwords else _WITHOUT_PASSWORDS
        roles = {row[0]: _role(row) for row in connection.execute(query.encode())}
        roles[EVERYBODY] = _nothing_but(settings=settings_of_all(connection))
        if connection.info.server_version >= _PARAMETERS_SINCE:
            for name, privilege in connection.execute(_PARAMETERS.encode()):
                held.setdefault(name, []).append(privilege)
    return {name: role.model_copy(update={"parameters": tuple(held.get(name, ()))}) for name, role in roles.items()}


def settings_of_all(connection: psycopg.Connection[TupleRow]) -> tuple[str, ...]:
    """What ALTER ROLE ALL has set."""
    return tuple(row[0] for row in connection.execute(_FOR_ALL.encode()))


def is_built_in(name: str) -> bool:
    """Whether it is a role that every server has: no other may begin so."""
    return name.startswith("pg_")


def hashed(verifier: str) -> str:
    """What a proof has of a password verifier: '' for none."""
    return hashlib.sha256(verifier.encode()).hexdigest() if verifier else ""


def _role(row: TupleRow) -> RoleProof:
    if is_built_in(row[0]):
        return _nothing_but(member_of=tuple(row[13]))
    flags = [name for name, is_set in zip(_ATTRIBUTES, row[1:8], strict=True) if is_set]
    return RoleProof(
        attributes=" ".join([*flags, f"limit={row[8]}"]),
        password=hashed(row[9]),
        valid_until=row[10],
        comment=row[11],
        settings=tuple(row[12]),
        member_of=tuple(row[13]),
    )


def _nothing_but(settings: tuple[str, ...] = (), member_of: tuple[str, ...] = ()) -> RoleProof:
    return RoleProof(attributes="", password="", valid_until="", comment="", settings=settings, member_of=member_of)
