"""The globals as SQL: roles, memberships and role settings, as pg_dumpall writes them, made so that they can be run twice.

Tablespaces are folders of one host: they are not carried, so that a set restores anywhere; the
survey names them.
"""

from __future__ import annotations

import re

_ROLE_NAME = r'"(?:[^"]|"")+"|[^\s";]+'
_CREATE_ROLE = re.compile(rf"CREATE ROLE (?P<name>{_ROLE_NAME});\n")
# A comment, a psql command, a blank line, or a statement: a quoted name or text may hold all of them.
_PIECE = re.compile(r"""(?:--|\\)[^\n]*\n|\n|(?:'[^']*'|"[^"]*"|[^'";])+;\n?""")
_GRANTED_BY = re.compile(
    rf"(?P<grant>GRANT (?:{_ROLE_NAME}) TO (?:{_ROLE_NAME})(?: WITH [A-Z, ]+)?) GRANTED BY (?P<grantor>{_ROLE_NAME});\n"
)
_DO = re.compile(r"DO (?P<escaped> E)?'(?P<body>.*)';\n", re.DOTALL)
_CREATED = re.compile(rf"THEN CREATE ROLE (?P<name>{_ROLE_NAME}); END IF; END\Z")
_OF_ROLE = re.compile(rf"(?:ALTER ROLE |COMMENT ON ROLE )(?P<name>{_ROLE_NAME})")
_MEMBERSHIP = re.compile(rf"GRANT (?P<group>{_ROLE_NAME}) TO (?P<member>{_ROLE_NAME})")


def rerunnable(text: str, first: str) -> str:
    """Globals whose CREATE statements pass over what is there, for a server whose first superuser may have another name
    than `first`: what that one granted its successor grants, as PostgreSQL has it for every superuser's grant."""
    return "".join(_by_whoever_is_first(_absent_only(piece), first) for piece in _PIECE.findall(text))


def _by_whoever_is_first(piece: str, first: str) -> str:
    found = _GRANTED_BY.fullmatch(piece)
    return f"{found['grant']};\n" if found and _unquoted(found["grantor"]) == first else piece


def _absent_only(piece: str) -> str:
    found = _CREATE_ROLE.fullmatch(piece)
    return create_absent(found["name"]) if found else piece


def create_absent(name: str) -> str:
    """Make a role, whose `name` is given as SQL, unless it is there."""
    absent = f"NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {_literal(_unquoted(name))})"
    # No \gexec: psql allows no backslash command between \restrict and \unrestrict.
    return f"DO {_literal(f'BEGIN IF {absent} THEN CREATE ROLE {name}; END IF; END')};\n"


def _literal(text: str) -> str:
    """SQL text in quotes; `E''` keeps it right whatever standard_conforming_strings says."""
    doubled = text.replace("'", "''")
    return " E'" + doubled.replace("\\", "\\\\") + "'" if "\\" in text else f"'{doubled}'"


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


def quoted(name: str) -> str:
    """A role's name as SQL."""
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
