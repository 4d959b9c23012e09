"""The rows of materialized views, which no dump carries: a restore makes them anew from the tables.

What comes out is compared with what the source had. It may be another thing for good reasons: the view had not been
refreshed since its tables changed, its query reads the clock, or adds floats in another order. So what is another is named,
with how many rows it has, and fails no set whose tables are equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from engine.sources.postgres.proof.proof import TableProof


def other_rows(database: str, expected: Mapping[str, TableProof], found: Mapping[str, TableProof]) -> tuple[str, ...]:
    """One line for all views that a refresh gave other rows; those whose rows were not read on both sides are not compared."""
    named = list(_other(expected, found))
    if not named:
        return ()
    return (
        f"{database}: the rows that these materialized views had: {', '.join(named)} (a restore refreshes them; they were "
        "stale, or what they select depends on when it is: REFRESH them in the source, and see the next drill)",
    )


def _other(expected: Mapping[str, TableProof], found: Mapping[str, TableProof]) -> Iterator[str]:
    for name, before in expected.items():
        after = found.get(name)
        if after is not None and after != before:
            yield f"{name} ({before.rows:,} rows before, {after.rows:,} now)"
