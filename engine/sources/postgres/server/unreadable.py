"""What of a database a role that is no superuser may not read: found before its dump, left out of it, and named.

pg_dump stops at the first table that it may not lock, and where row security would hide rows. A table that the role has
no right to is left out with the views that read it; where more hangs on it (a foreign key, a child), what is left could
not be restored, so the backup stops and says what to grant. So it does at row security: no set has a part of the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg.rows import TupleRow

from engine.errors import ConfigurationError
from engine.sources.postgres.server.rights import is_superuser
from engine.sources.postgres.server.sql_files import read_sql

_RELATIONS = read_sql(__name__, "unreadable")
_DEPENDENTS = read_sql(__name__, "unreadable_dependents")
_LARGE_OBJECTS = """
SELECT pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata m
 WHERE NOT pg_catalog.current_setting('lo_compat_privileges')::bool AND NOT pg_catalog.pg_has_role(m.lomowner, 'USAGE')
   AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(m.lomacl) AS x WHERE x.privilege_type = 'SELECT'
       AND CASE WHEN x.grantee = 0 THEN true ELSE pg_catalog.pg_has_role(x.grantee, 'USAGE') END)
"""
_SHOWN, _MOST = 6, 500
"""So many relations are named to pg_dump at most: a command line is no place for thousands."""
_GRANT = "grant it SELECT on them (GRANT pg_read_all_data TO {role} covers all)"


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, view or sequence by its oid."""

    oid: int
    schema: str
    name: str

    @property
    def shown(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """`omitted`: tables, and the views and sequences that go with them. `values`: sequences that come back as they began.
    `rows`: materialized views whose rows are not compared. `locked`: tables of extensions that cannot be locked.
    `large_objects`: how many of them; then none is dumped."""

    omitted: tuple[Relation, ...] = ()
    values: tuple[Relation, ...] = ()
    rows: tuple[Relation, ...] = ()
    locked: tuple[Relation, ...] = ()
    large_objects: int = 0

    @property
    def oids(self) -> frozenset[int]:
        """Of all that is not to be read."""
        return frozenset(one.oid for one in (*self.omitted, *self.values, *self.rows, *self.locked))

    def sentences(self) -> tuple[str, ...]:
        """For the manifest: what is not in the dump, in words."""
        findings = (
            (
                "the tables {} (with what reads them: the role has no right to them: GRANT SELECT, and USAGE on their schema)",
                self.omitted,
            ),
            (
                "the values of the sequences {} (the role may not read them: GRANT SELECT, else they begin anew)",
                self.values,
            ),
            ("a comparison of the rows of the materialized views {} (the role may not read them)", self.rows),
        )
        lines = [text.format(_listed([one.shown for one in found])) for text, found in findings if found]
        if self.large_objects:
            lines.append(
                f"the large objects (the role may not read {self.large_objects:,} of them, and pg_dump takes all or none: "
                "GRANT SELECT ON LARGE OBJECT, or give it their owner's role)"
            )
        return tuple(lines)


READABLE = Unreadable()
"""As for a superuser: all of it."""


def unreadable(connection: psycopg.Connection[TupleRow], database: str, role: str) -> Unreadable:
    """What the session's role may not read.

    Raises:
        ConfigurationError: row security would hide rows, or what can be read would not restore without the rest.
    """
    if is_superuser(connection):
        return READABLE
    rows = connection.execute(_RELATIONS.encode()).fetchall()
    hidden = [f"{row[1]}.{row[2]}" for row in rows if row[4] and row[5]]
    if hidden:
        raise ConfigurationError(
            f"Row security would hide rows of {_listed(hidden)} of database {database!r} from the role {role!r}, and no set "
            f"may have a part of them: ALTER ROLE {role} BYPASSRLS, or give it the role of their owner."
        )
    _require_some(rows, database, role)
    by_kind = {
        kinds: tuple(Relation(*row[:3]) for row in rows if row[3] in kinds and not row[4] and not row[6])
        for kinds in ("rp", "S", "m")
    }
    omitted = _with_dependents(connection, by_kind["rp"], database, role)
    gone = {one.oid for one in omitted}
    ((large_objects,),) = connection.execute(_LARGE_OBJECTS).fetchall()
    return Unreadable(
        omitted,
        tuple(one for one in by_kind["S"] if one.oid not in gone),
        tuple(one for one in by_kind["m"] if one.oid not in gone),
        tuple(Relation(*row[:3]) for row in rows if row[3] in "rp" and not row[4] and row[6]),
        large_objects,
    )


def _require_some(rows: Sequence[TupleRow], database: str, role: str) -> None:
    """A role that was given nothing is a mistake, and no reason for an empty set."""
    own = [row for row in rows if row[3] in "rp" and not row[6]]
    if own and not any(row[4] for row in own):
        raise ConfigurationError(
            f"The role {role!r} may read none of the {len(own):,} tables of database {database!r}: "
            f"{_GRANT.format(role=role)}, give a superuser in user and password, or exclude the database."
        )


def _with_dependents(
    connection: psycopg.Connection[TupleRow], tables: Sequence[Relation], database: str, role: str
) -> tuple[Relation, ...]:
    if not tables:
        return ()
    rows = connection.execute(_DEPENDENTS.encode(), ([one.oid for one in tables],)).fetchall()
    omitted = tuple(Relation(*row[:3]) for row in rows if row[0])
    if needed := [row[3] for row in rows if not row[0]]:
        raise ConfigurationError(
            f"The role {role!r} has no right to {_listed([one.shown for one in tables])} of database {database!r}, without "
            f"which {_listed(needed)} could not be restored: {_GRANT.format(role=role)}."
        )
    if len(omitted) > _MOST:
        raise ConfigurationError(
            f"The role {role!r} may not read {len(omitted):,} tables of database {database!r}: {_GRANT.format(role=role)}, "
            "or exclude the database."
        )
    return omitted


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
