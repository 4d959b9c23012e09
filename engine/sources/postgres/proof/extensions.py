"""What belongs to a database's extensions, and what of it a restore does not bring back.

A dump names an extension and leaves its objects to CREATE EXTENSION, which makes those of its script.
What was put into it by hand (ALTER EXTENSION ... ADD), renamed in it, or left in it by an older version is
in no dump. From the source alone the two cannot be told apart; after a restore they can.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import psycopg
from psycopg.rows import TupleRow
from pydantic import BaseModel, ConfigDict

_SHOWN = 50
_EXTENSIONS = """
SELECT e.extname, e.extversion, pg_catalog.current_setting('server_version_num')::int / 10000,
       COALESCE(pg_catalog.array_agg(i.type || ' ' || i.identity ORDER BY (i.type || ' ' || i.identity) COLLATE "C")
                FILTER (WHERE i.identity IS NOT NULL AND COALESCE(i.schema, '') !~ '^pg_(temp|toast)'), '{}')
  FROM pg_catalog.pg_extension e
  LEFT JOIN pg_catalog.pg_depend d ON d.deptype = 'e' AND d.refobjid = e.oid
   AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
  LEFT JOIN LATERAL pg_catalog.pg_identify_object(d.classid, d.objid, 0) AS i ON true
 GROUP BY e.oid, e.extname, e.extversion ORDER BY e.extname COLLATE "C"
"""
"""A member that is dropped meanwhile has no identity; one in a session's own schema goes with the session."""


class ExtensionProof(BaseModel):
    """An extension's version, the major of its server, and its members, each as `<type> <identity>`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    major: int
    members: tuple[str, ...]


def read_extensions(connection: psycopg.Connection[TupleRow]) -> dict[str, ExtensionProof]:
    """Every extension of the database by its name."""
    return {
        name: ExtensionProof(version=version, major=major, members=tuple(members))
        for name, version, major, members in connection.execute(_EXTENSIONS.encode())
    }


Extensions = Mapping[str, ExtensionProof]


def lost_members(database: str, expected: Extensions, found: Extensions) -> tuple[str, ...]:
    """What belonged to an extension and did not come back with it: one line for each, with what to do.

    Only the same version on the same major can be compared: another one's script makes other objects.
    """
    lost = {
        name: sorted(set(before.members) - set(found[name].members))
        for name, before in expected.items()
        if name in found and _alike(before, found[name])
    }
    return tuple(
        f"{database}: what CREATE EXTENSION does not make of {name}: {_listed(members)} (added by hand: ALTER "
        "EXTENSION ... DROP takes it out, and the next backup carries it; left by an older version: drop it)"
        for name, members in lost.items()
        if members
    )


def not_compared(database: str, expected: Extensions, found: Extensions) -> tuple[str, ...]:
    """The extensions whose members say nothing, since another version came back."""
    return tuple(
        f"{name} of {database} ({_version(before)} backed up, {_version(found[name])} restored)"
        for name, before in expected.items()
        if name in found and not _alike(before, found[name])
    )


def other_versions(expected: Extensions, found: Extensions) -> frozenset[str]:
    """The extensions that are not there in the version they had."""
    return frozenset(
        name for name, before in expected.items() if name not in found or found[name].version != before.version
    )


def _alike(one: ExtensionProof, other: ExtensionProof) -> bool:
    return (one.version, one.major) == (other.version, other.major)


def _version(extension: ExtensionProof) -> str:
    return f"{extension.version} on PostgreSQL {extension.major}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
