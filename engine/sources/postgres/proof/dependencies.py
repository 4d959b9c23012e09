"""What the expressions of a database mean: the operators, functions and types that they were parsed to.

PostgreSQL prints some operators without their schema (IS DISTINCT FROM, NULLIF, CASE x WHEN, JOIN USING).
A dump is read with an empty search_path, so such an expression may come back with another operator and the
same text: a policy may let other rows through. What it depends on, PostgreSQL records; how often it uses an operator is
counted in the stored expression, since another place of the same object may use it by its whole name.

What is in `pg_catalog` is not recorded, or found whatever the search_path is. Names are told as the catalogue has
them, in one query, so that they are those of the dump's snapshot.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

import psycopg
from psycopg.rows import TupleRow
from pydantic import BaseModel, ConfigDict

from engine.sources.postgres.server.raw_text import to_text
from engine.sources.postgres.server.sql_files import read_sql

_OPERATOR, _DEFAULT = "operator ", "default of "
_DEPENDENCIES = read_sql(__name__, "dependencies")
"""Left out: what a server names itself (constraints and triggers of a partition, constraints that are only inherited),
what is an extension's own, and types where the text tells them (of columns and arguments). An array's extension is its
element's, a row's its table's. As bytes, since a database without an encoding may have names that are no text."""


class DependencyProof(BaseModel):
    """How often each object's expressions use what (`of`; anything but operators once), the extension of what belongs
    to one, and the server's major."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    major: int
    of: dict[str, dict[str, int]]
    extensions: dict[str, str]


def read_dependencies(connection: psycopg.Connection[TupleRow], omitted: Sequence[int] = ()) -> DependencyProof:
    """What every object of the database depends on, where that is not built in; `omitted` are oids of relations that the
    dump lacks."""
    of: dict[str, dict[str, int]] = defaultdict(dict)
    extensions: dict[str, str] = {}
    for dependent, used, extension, times in connection.execute(_DEPENDENCIES.encode(), (list(omitted),)):
        name, what = (to_text(bytes(text)) for text in (dependent, used))
        of[name][what] = times
        if extension:
            extensions[what] = extension
    return DependencyProof(
        major=connection.info.server_version // 10000,
        of=dict(of),
        extensions=extensions,
    )


def changed_dependencies(
    expected: DependencyProof | None, found: DependencyProof | None, passed_over: Collection[str]
) -> Iterator[tuple[str, str, str]]:
    """The objects that mean something else: name, what is used no more, and what is used instead ('' for nothing).

    None is a proof from before there were these: nothing is compared. `passed_over` are extensions of which another
    version came back. Another major may store more, or the same twice; only which operators are used is compared then.
    """
    if expected is None or found is None:
        return
    same_major = expected.major == found.major
    before, after = (
        {name: _used(proof, used, passed_over, same_major) for name, used in proof.of.items()}
        for proof in (expected, found)
    )
    for name in sorted({*before, *after}):
        was, became = before.get(name, Counter()), after.get(name, Counter())
        lost, gained = was - became, became - was
        if lost or (gained and not _of_null(name, before)):
            yield name, _listed(lost), _listed(gained)


def _used(
    proof: DependencyProof, used: Mapping[str, int], passed_over: Collection[str], same_major: bool
) -> Counter[str]:
    kept = {what: times for what, times in used.items() if proof.extensions.get(what) not in passed_over}
    if same_major:
        return Counter(kept)
    return Counter({what: 1 for what in kept if what.startswith(_OPERATOR)})


def _listed(used: Mapping[str, int]) -> str:
    return ", ".join(what if times == 1 else f"{what} {times} times" for what, times in sorted(used.items()))


def _of_null(name: str, before: Collection[str]) -> bool:
    """Whether it may be the DEFAULT NULL that pg_dump gives to a child that has not its parent's default."""
    return name.startswith(_DEFAULT) and name not in before
