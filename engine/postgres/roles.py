"""The globals: roles, memberships and role settings, as SQL that can be run twice.

Tablespaces are folders of one host: they are not carried, so that a set restores anywhere; the
survey names them.
"""

from __future__ import annotations

import hashlib
import re
from threading import Lock

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow
from pydantic import BaseModel, ConfigDict

from engine.errors import TransientFailure
from engine.postgres import commands
from engine.postgres.server import Server
from engine.postgres.settings import setting_sql
from engine.postgres.tools import Tools

_TOOL_SECONDS = 600
_FIRST = "SELECT rolname FROM pg_catalog.pg_roles WHERE oid = 10"
"""The superuser that initdb made."""
_TRIES = 10
_ROLE_NAME = r'"(?:[^"]|"")+"|[^\s";]+'
_CREATE_ROLE = re.compile(rf"CREATE ROLE (?P<name>{_ROLE_NAME});\n")
# A comment, a psql command, a blank line, or a statement: a quoted name or text may hold all of them.
_PIECE = re.compile(r"""(?:--|\\)[^\n]*\n|\n|(?:'[^']*'|"[^"]*"|[^'";])+;\n?""")
_ROLES = """
SELECT r.rolname, r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin, r.rolreplication,
       r.rolbypassrls, r.rolconnlimit, COALESCE(a.rolpassword, ''), COALESCE(r.rolvaliduntil::text, ''),
       COALESCE(pg_catalog.shobj_description(r.oid, 'pg_authid'), ''),
       (SELECT COALESCE(pg_catalog.array_agg(u.item ORDER BY u.item COLLATE "C"), '{}')
          FROM pg_catalog.pg_db_role_setting s CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS u(item)
         WHERE s.setrole = r.oid AND s.setdatabase = 0),
       (SELECT COALESCE(pg_catalog.array_agg(pg_catalog.concat_ws(' ', pg_catalog.quote_ident(g.rolname), opt.text)
                 ORDER BY g.rolname COLLATE "C", opt.text COLLATE "C"), '{}')
          FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles g ON g.oid = m.roleid
          CROSS JOIN LATERAL (SELECT pg_catalog.to_jsonb(m)->>'admin_option' || ' '
              || COALESCE(pg_catalog.to_jsonb(m)->>'inherit_option', '') || ' '
              || COALESCE(pg_catalog.to_jsonb(m)->>'set_option' || ' by '
                 || pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(m.grantor)), '')) AS opt(text)
         WHERE m.member = r.oid AND NOT (r.rolname ~ '^pg_' AND g.rolname ~ '^pg_'))
  FROM pg_catalog.pg_roles r JOIN pg_catalog.pg_authid a ON a.oid = r.oid
 ORDER BY r.rolname COLLATE "C"
"""
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


_BARE = RoleProof(
    attributes="inherit limit=-1", password="", valid_until="", comment="", settings=(), member_of=()
)
"""What CREATE ROLE makes. (No password is '' here.)"""
_QUOTED = '"{}"'

Roles = dict[str, RoleProof]
"""Roles by name."""

_ATTRIBUTES = ("superuser", "inherit", "createrole", "createdb", "login", "replication", "bypassrls")


def read_roles(connection: psycopg.Connection[TupleRow]) -> Roles:
    """Every role of the server, and what all roles have as the role `EVERYBODY`.

    Of the built-in ones only what pg_dumpall carries: their memberships in others, and privileges on parameters.
    """
    roles = {row[0]: _role(row) for row in connection.execute(_ROLES.encode())}
    roles[EVERYBODY] = _nothing_but(settings=_for_all_roles(connection))
    held: dict[str, list[str]] = {}
    if connection.info.server_version >= _PARAMETERS_SINCE:
        for name, privilege in connection.execute(_PARAMETERS.encode()):
            held.setdefault(name, []).append(privilege)
    return {
        name: role.model_copy(update={"parameters": tuple(held.get(name, ()))})
        for name, role in roles.items()
    }


def _for_all_roles(connection: psycopg.Connection[TupleRow]) -> tuple[str, ...]:
    return tuple(row[0] for row in connection.execute(_FOR_ALL.encode()))


def is_built_in(name: str) -> bool:
    """Whether it is a role that every server has: no other may begin so."""
    return name.startswith("pg_")


def _role(row: TupleRow) -> RoleProof:
    if is_built_in(row[0]):
        return _nothing_but(member_of=tuple(row[13]))
    flags = [name for name, is_set in zip(_ATTRIBUTES, row[1:8], strict=True) if is_set]
    return RoleProof(
        attributes=" ".join([*flags, f"limit={row[8]}"]),
        password=hashlib.sha256(row[9].encode()).hexdigest() if row[9] else "",
        valid_until=row[10],
        comment=row[11],
        settings=tuple(row[12]),
        member_of=tuple(row[13]),
    )


def _nothing_but(settings: tuple[str, ...] = (), member_of: tuple[str, ...] = ()) -> RoleProof:
    return RoleProof(
        attributes="", password="", valid_until="", comment="", settings=settings, member_of=member_of
    )


def dump_globals(server: Server, tools: Tools, application: str) -> bytes:
    """What `pg_dumpall --globals-only` gives, made so that a role that exists does not stop it.

    It is small (a line or two per role), so it is held in memory.

    Raises:
        TransientFailure: the tool failed.
    """
    argv = commands.globals_argv(tools.folder, server.settings.maintenance_database)
    done = tools.host.run(argv, env=server.dump_variables(application), timeout=_TOOL_SECONDS)
    if done.code:
        raise TransientFailure(f"pg_dumpall of {server.address} failed: {done.stderr[-300:]}")
    with server.connect(application=application) as connection:
        ((first,),) = connection.execute(_FIRST).fetchall()
        return (
            rerunnable(done.stdout.decode(), first)
            + _settings_for_all(connection)
            + _configuration(connection)
        ).encode()


class Globals:
    """The globals of one night, read again only when the roles are other ones. For several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._roles: Roles | None = None
        self._text = b""
        self._seen: set[str] = set()

    def read(self, server: Server, tools: Tools, application: str, seen: Roles | None) -> tuple[Roles, bytes]:
        """The roles and what makes them. `seen` are those of the moment that is backed up; None: of now.

        One that was dropped since may have grants in a dump of this night: it is made too, with nothing of its own.

        Raises:
            TransientFailure: the tool failed, or the roles change faster than they can be read.
        """
        with self._lock:
            if self._roles is None or self._roles != seen:
                self._roles, self._text = _of_one_moment(server, tools, application)
            self._seen.update(seen or ())
            dropped = sorted(self._seen - self._roles.keys())
            made = "".join(_create_absent(_QUOTED.format(name.replace('"', '""'))) for name in dropped)
            return self._roles | dict.fromkeys(dropped, _BARE), self._text + made.encode()


def _of_one_moment(server: Server, tools: Tools, application: str) -> tuple[Roles, bytes]:
    """The roles and what makes them; pg_dumpall takes no snapshot, so they must be the same before and after it."""
    with server.connect(application=application) as connection:
        after = read_roles(connection)
        for _ in range(_TRIES):
            before, text = after, dump_globals(server, tools, application)
            after = read_roles(connection)
            if after == before:
                return after, text
    raise TransientFailure(
        f"The roles of {server.address} change all the time: {_TRIES} times they were others after pg_dumpall "
        "than before; see what creates and alters roles, and try again."
    )


def _settings_for_all(connection: psycopg.Connection[TupleRow]) -> str:
    """What ALTER ROLE ALL has set, which pg_dumpall leaves out."""
    whose = sql.SQL("ALTER ROLE ALL")
    settings = [setting_sql(whose, assignment) for assignment in _for_all_roles(connection)]
    return "".join(f"{setting.as_string(connection)};\n" for setting in settings)


_CONFIGURATION = r"""
SELECT s.name || ' = ' || pg_catalog.quote_literal(s.setting)
  FROM (SELECT DISTINCT ON (name) name, setting FROM pg_catalog.pg_file_settings ORDER BY name, seqno DESC) AS s
UNION ALL
SELECT 'pg_hba.conf: ' || line FROM pg_catalog.regexp_split_to_table(
    pg_catalog.pg_read_file(pg_catalog.current_setting('hba_file')), '\n') AS line WHERE line !~ '^\s*(#|$)'
UNION ALL
SELECT 'pg_ident.conf: ' || line FROM pg_catalog.regexp_split_to_table(
    pg_catalog.pg_read_file(pg_catalog.current_setting('ident_file')), '\n') AS line WHERE line !~ '^\s*(#|$)'
"""


def _configuration(connection: psycopg.Connection[TupleRow]) -> str:
    """The server's configuration files as comments: for who makes the server anew, not for psql."""
    lines = [row[0] for row in connection.execute(_CONFIGURATION.encode())]
    shown = "".join(f"-- {' '.join(line.splitlines())}\n" for line in lines)
    return f"\n-- The configuration of the server, which a restore does not set:\n{shown}"


def rerunnable(text: str, first: str) -> str:
    """Globals whose CREATE statements pass over what is there, for a server whose first superuser may have another name
    than `first`: what that one granted its successor grants, as PostgreSQL has it for every superuser's grant."""
    return "".join(_by_whoever_is_first(_absent_only(piece), first) for piece in _PIECE.findall(text))


def _by_whoever_is_first(piece: str, first: str) -> str:
    found = _GRANTED_BY.fullmatch(piece)
    return f"{found['grant']};\n" if found and _unquoted(found["grantor"]) == first else piece


def _absent_only(piece: str) -> str:
    found = _CREATE_ROLE.fullmatch(piece)
    return _create_absent(found["name"]) if found else piece


def _create_absent(name: str) -> str:
    """Make a role, whose `name` is given as SQL, unless it is there."""
    absent = f"NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {_literal(_unquoted(name))})"
    # No \gexec: psql allows no backslash command between \restrict and \unrestrict.
    return f"DO {_literal(f'BEGIN IF {absent} THEN CREATE ROLE {name}; END IF; END')};\n"


def _literal(text: str) -> str:
    """SQL text in quotes; `E''` keeps it right whatever standard_conforming_strings says."""
    doubled = text.replace("'", "''")
    return " E'" + doubled.replace("\\", "\\\\") + "'" if "\\" in text else f"'{doubled}'"


_GRANTED_BY = re.compile(
    rf"(?P<grant>GRANT (?:{_ROLE_NAME}) TO (?:{_ROLE_NAME})(?: WITH [A-Z, ]+)?) GRANTED BY (?P<grantor>{_ROLE_NAME});\n"
)
_DO = re.compile(r"DO (?P<escaped> E)?'(?P<body>.*)';\n", re.DOTALL)
_CREATED = re.compile(rf"THEN CREATE ROLE (?P<name>{_ROLE_NAME}); END IF; END\Z")
_OF_ROLE = re.compile(rf"(?:ALTER ROLE |COMMENT ON ROLE )(?P<name>{_ROLE_NAME})")
_MEMBERSHIP = re.compile(rf"GRANT (?P<group>{_ROLE_NAME}) TO (?P<member>{_ROLE_NAME})")


def only_roles(text: str, wanted: tuple[str, ...]) -> str:
    """Of re-runnable globals, what makes the wanted roles and their memberships; the rest is left as it is."""
    return "".join(piece for piece in _PIECE.findall(text) if _concerns(piece, frozenset(wanted)))


def _concerns(piece: str, wanted: frozenset[str]) -> bool:
    if found := _DO.fullmatch(piece):
        body = found["body"].replace("''", "'")
        body = body.replace("\\\\", "\\") if found["escaped"] else body
        created = _CREATED.search(body)
        return created is not None and _unquoted(created["name"]) in wanted
    if found := _OF_ROLE.match(piece):
        return _unquoted(found["name"]) in wanted
    if found := _MEMBERSHIP.match(piece):
        return bool({_unquoted(found["group"]), _unquoted(found["member"])} & wanted)
    return piece.startswith("SET ")


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
