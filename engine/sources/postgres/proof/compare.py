"""Compare two proofs: pure, and never content with zero against zero by accident.

Every object of the expected proof must be found with the same value, and nothing more. Leaves of a
hash-partitioned tree are compared as one table, since rows may land in other leaves. How schemas are
compared is in `schema_texts.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from itertools import islice
from typing import Any

from pydantic import BaseModel

from engine.repository.findings import Difference
from engine.sources.postgres.archive.service_extensions import is_of
from engine.sources.postgres.proof.dependencies import changed_dependencies
from engine.sources.postgres.proof.extensions import other_versions
from engine.sources.postgres.proof.proof import DatabaseProof, TableProof
from engine.sources.postgres.proof.roles import RoleProof, is_built_in
from engine.sources.postgres.proof.schema_texts import changed_objects

_SHOWN = 60
_SECRETIVE = ("USER MAPPING ", "SUBSCRIPTION ", "SERVER ")
"""Their SQL may hold a password: that it differs is told, the text is not."""
_OWN_DATABASES = ("postgres", "template1")


def compare_databases(
    expected: DatabaseProof, found: DatabaseProof, reprint: Callable[[str], str], omitted: Collection[str] = ()
) -> tuple[Difference, ...]:
    """What differs; empty when the restored database is the same one.

    `reprint` turns the expected schema's SQL into how it prints after one restore. `omitted` are extensions that were left
    out knowingly.
    """
    name = expected.database
    differences = [
        *_properties(expected, found),
        *_mappings(name, "table", _tables(expected), _tables(found)),
        *_mappings(name, "sequence", expected.sequences, found.sequences),
        *_mappings(name, "large object", _plain(expected.large_objects), _plain(found.large_objects)),
        *_mappings(
            name,
            "unpopulated view",
            dict.fromkeys(expected.unpopulated, ""),
            dict.fromkeys(found.unpopulated, ""),
        ),
        *(one for one in _schemas(expected, found, reprint) if not is_of(one.name, omitted)),
        *_dependencies(expected, found),
    ]
    return tuple(differences)


def compare_roles(expected: Mapping[str, RoleProof], found: Mapping[str, RoleProof]) -> tuple[Difference, ...]:
    """Roles that are not as they were; the built-in ones only where the proof is not from before it held them."""
    if not any(is_built_in(name) for name in expected):
        found = {name: role for name, role in found.items() if not is_built_in(name)}
    differences = _mappings("", "role", dict(expected), dict(found))
    shown = {"not there": "not there", "missing": "missing"}
    return tuple(
        one.model_copy(
            update={
                "expected": shown.get(one.expected) or _shown_role(expected[one.name], expected.get(one.name)),
                "found": shown.get(one.found) or _shown_role(found[one.name], expected.get(one.name)),
            }
        )
        for one in differences
    )


def _shown_role(role: RoleProof, expected: RoleProof | None) -> str:
    """The password's hash stays out of evidence that people read; that it differs is told."""
    same = expected is not None and role.password == expected.password
    password = "none" if not role.password else "as expected" if same else "another"
    parts = (
        role.attributes,
        f"member of {role.member_of}",
        f"settings {role.settings}",
        f"parameters {role.parameters}",
        role.valid_until,
        role.comment,
        f"password {password}",
    )
    return _short("; ".join(parts))


def _properties(expected: DatabaseProof, found: DatabaseProof) -> list[Difference]:
    before, after = expected.properties.model_dump(), found.properties.model_dump()
    passed_over = ("encoding", "collate", "ctype", "provider", "locale", "icu_rules")
    if expected.database in _OWN_DATABASES:  # these two exist before a restore and keep their encoding
        before, after = ({k: v for k, v in side.items() if k not in passed_over} for side in (before, after))
    return _mappings(expected.database, "database property", before, after)


def _plain(objects: Mapping[int, BaseModel]) -> dict[str, str]:
    return {str(oid): str(value.model_dump()) for oid, value in objects.items()}


def _tables(proof: DatabaseProof) -> dict[str, str]:
    """Rows and hash by table, the leaves of a hash-partitioned tree under their root."""
    trees: dict[str, list[TableProof]] = defaultdict(list)
    for name, table in proof.tables.items():
        trees[table.tree or name].append(table)
    return {
        name: f"{sum(t.rows for t in tables)} rows, {sum(t.hash for t in tables) % (1 << 64):016x}"
        for name, tables in trees.items()
    }


def _mappings(database: str, kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    names = [*before, *(name for name in after if name not in before)]
    return [
        Difference(
            where=database,
            kind=kind,
            name=name,
            expected=_short(before[name]) if name in before else "not there",
            found=_short(after[name]) if name in after else "missing",
        )
        for name in names
        if name not in before or name not in after or before[name] != after[name]
    ]


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 400 else f"{text[:400]}..."


def _schemas(expected: DatabaseProof, found: DatabaseProof, reprint: Callable[[str], str]) -> list[Difference]:
    changed = changed_objects(expected.schema_sql, found.schema_sql, reprint)
    return [
        Difference(
            where=expected.database,
            kind="schema",
            name=one.label,
            expected=_text(one.label, one.expected, "not there"),
            found=_text(one.label, one.found, "missing"),
        )
        for one in changed[:_SHOWN]
    ]


def _dependencies(expected: DatabaseProof, found: DatabaseProof) -> list[Difference]:
    passed_over = other_versions(expected.extensions, found.extensions)
    changed = changed_dependencies(expected.dependencies, found.dependencies, passed_over)
    return [
        Difference(
            where=expected.database,
            kind="dependencies",
            name=name,
            expected=_short(lost or "not there"),
            found=_short(gained or "missing"),
        )
        for name, lost, gained in islice(changed, _SHOWN)
    ]


def _text(label: str, text: str | None, otherwise: str) -> str:
    if text is None:
        return otherwise
    return "(not shown: it may hold a password)" if label.startswith(_SECRETIVE) else _short(text)
