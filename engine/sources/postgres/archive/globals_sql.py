"""The globals as SQL: roles, memberships and role settings, as pg_dumpall writes them, made so that they can be run twice.

Tablespaces are folders of one host: they are not carried, so that a set restores anywhere; the
survey names them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

_ROLE_NAME = r'"(?:[^"]|"")+"|[^\s";]+'
_CREATE_ROLE = re.compile(rf"CREATE ROLE (?P<name>{_ROLE_NAME});\n")
_ABSENT = r"WHERE NOT EXISTS \(SELECT FROM pg_catalog\.pg_roles WHERE rolname =(?: E| )'(?:[^']|'')*'\) \\gexec\n"
_CREATE_ABSENT = rf"SELECT(?P<escaped> E| )'CREATE ROLE (?P<created>(?:[^']|'')*)' {_ABSENT}"
# What makes an absent role, a comment, a psql command, a blank line, or a statement: a quoted name or text may hold all of them.
_PIECE = re.compile(
    rf"""{_CREATE_ABSENT.replace("?P<escaped>", "?:").replace("?P<created>", "?:")}"""
    r"""|(?:--|\\)[^\n]*\n|\n|(?:'[^']*'|"[^"]*"|[^'";])+;\n?"""
)
_GRANTED_BY = re.compile(
    rf"(?P<grant>GRANT (?:{_ROLE_NAME}) TO (?:{_ROLE_NAME})(?: WITH [A-Z, ]+)?) GRANTED BY (?P<grantor>{_ROLE_NAME});\n"
)
_SETTING = re.compile(r"SET \w+ = ")
"""Not SET SESSION AUTHORIZATION, under which privileges are granted in another's name."""
_MAKES = re.compile(_CREATE_ABSENT)
_OF_ROLE = re.compile(rf"(?:ALTER ROLE |COMMENT ON ROLE )(?P<name>{_ROLE_NAME})")
_ATTRIBUTES = re.compile(
    rf"(?P<whose>ALTER ROLE (?:{_ROLE_NAME}) WITH)(?P<attributes>(?: (?!CONNECTION |PASSWORD |VALID )[A-Z]+)+)"
)
_MEMBERSHIP = re.compile(rf"GRANT (?P<group>{_ROLE_NAME}) TO (?P<member>{_ROLE_NAME})")


_NO_SUPERUSER = re.compile(rf"^(ALTER ROLE (?:{_ROLE_NAME}) WITH) NOSUPERUSER ")


def rerunnable(text: str, first: str, *, spare_superusers: bool = False) -> str:
    """Globals that pass over roles which are there, for a server whose first superuser may have another name
    than `first`: what that one granted its successor grants, as PostgreSQL has it for every superuser's grant.

    Absent roles are made first, by psql alone: a DO block would load plpgsql, which then reserves the settings that begin
    with its name, and ALTER ROLE ... SET might fail. psql takes no such command between pg_dumpall's \\restrict and
    \\unrestrict.

    `spare_superusers`: a role that is one already stays one. A managed server's master is none and is mostly called
    `postgres`, as the superuser of the server that is restored into; what CREATE ROLE makes is none anyway.
    """
    pieces = _PIECE.findall(text)
    settings = [piece for piece in pieces if _SETTING.match(piece)]
    created = [create_absent(found["name"]) for piece in pieces if (found := _CREATE_ROLE.fullmatch(piece))]
    others = [_by_whoever_is_first(piece, first) for piece in pieces if not _CREATE_ROLE.fullmatch(piece)]
    if spare_superusers:
        others = [_NO_SUPERUSER.sub(r"\1 ", piece) for piece in others]
    return "".join((*settings, *created, *others))


def _by_whoever_is_first(piece: str, first: str) -> str:
    found = _GRANTED_BY.fullmatch(piece)
    return f"{found['grant']};\n" if found and _unquoted(found["grantor"]) == first else piece


def create_absent(name: str) -> str:
    """Make a role, whose `name` is given as SQL, unless it is there: for psql."""
    absent = f"NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname ={_literal(_unquoted(name))})"
    return f"SELECT{_literal(f'CREATE ROLE {name}')} WHERE {absent} \\gexec\n"


def _literal(text: str) -> str:
    """SQL text in quotes after a blank; `E''` keeps it right whatever standard_conforming_strings says."""
    doubled = text.replace("'", "''")
    return " E'" + doubled.replace("\\", "\\\\") + "'" if "\\" in text else f" '{doubled}'"


def only_roles(text: str, wanted: tuple[str, ...]) -> str:
    """Of re-runnable globals, what makes the wanted roles and their memberships; the rest is left as it is."""
    return "".join(piece for piece in _PIECE.findall(text) if _concerns(piece, frozenset(wanted)))


@dataclass(frozen=True, slots=True)
class RoleStatement:
    """One statement of the globals about `role`, or about `member` in `group`.

    `joins`: the membership may be used, not only given on.
    """

    text: str
    role: str = ""
    group: str = ""
    member: str = ""

    @property
    def what(self) -> str:
        """For people; a statement may hold a password verifier, so it is not shown."""
        return f"member {self.member} of {self.group}" if self.group else f"role {self.role}"

    @property
    def group_sql(self) -> str:
        return quoted(self.group)

    @property
    def member_sql(self) -> str:
        return quoted(self.member)

    @property
    def joins(self) -> bool:
        return not ("INHERIT FALSE" in self.text and "SET FALSE" in self.text)

    def without(self, attributes: Collection[str]) -> tuple[str, tuple[str, ...]]:
        """Its text without these attributes of a role, nor who granted; and those of them that it would have given."""
        if self.group:
            granted = _GRANTED_BY.fullmatch(self.text)
            return (f"{granted['grant']};" if granted else self.text), ()
        found = _ATTRIBUTES.match(self.text)
        if found is None:
            return self.text, ()
        words = found["attributes"].split()
        kept = [word for word in words if word.removeprefix("NO") not in attributes]
        rest = self.text[found.end() :]
        return f"{found['whose']} {' '.join(kept)}{rest}", tuple(word for word in words if word in attributes)


def statements_of(text: str, wanted: Collection[str]) -> Iterator[RoleStatement]:
    """Of re-runnable globals, what gives the wanted roles all that they have; not what makes them."""
    for piece in _PIECE.findall(text):
        if not _concerns(piece, frozenset(wanted)) or _MAKES.fullmatch(piece) or _SETTING.match(piece):
            continue
        if found := _MEMBERSHIP.match(piece):
            yield RoleStatement(piece, group=_unquoted(found["group"]), member=_unquoted(found["member"]))
        elif found := _OF_ROLE.match(piece):
            yield RoleStatement(piece, role=_unquoted(found["name"]))


def _concerns(piece: str, wanted: frozenset[str]) -> bool:
    if found := _MAKES.fullmatch(piece):
        name = found["created"].replace("''", "'")
        return _unquoted(name.replace("\\\\", "\\") if found["escaped"] == " E" else name) in wanted
    if found := _OF_ROLE.match(piece):
        return _unquoted(found["name"]) in wanted
    if found := _MEMBERSHIP.match(piece):
        return bool({_unquoted(found["group"]), _unquoted(found["member"])} & wanted)
    return _SETTING.match(piece) is not None


def quoted(name: str) -> str:
    """A role's name as SQL."""
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
