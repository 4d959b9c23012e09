"""The rows of materialized views, which no dump carries: a restore makes them anew from the tables.

What comes out is compared with what the source had. It may be another thing for good reasons: the view had not been
refreshed since its tables changed, its query reads the clock, or adds floats in another order. So what is another is named,
with how many rows it has, and fails no set whose tables are equal.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.sources.postgres.proof.proof import DatabaseProof


def unread(proof: DatabaseProof) -> tuple[str, ...]:
    """One line for all views whose rows could not be read: nothing compares them."""
    if not proof.unread_views:
        return ()
    return (
        f"{proof.database}: a comparison of the rows of the materialized views {', '.join(proof.unread_views)} (they were "
        "being refreshed, or were dropped, when their rows were to be read)",
    )


def other_rows(expected: DatabaseProof, found: DatabaseProof) -> tuple[str, ...]:
    """One line for all views that a refresh gave other rows, and one for those whose rows were read before alone."""
    lost = tuple(name for name in found.unread_views if name in expected.views)
    named = list(_other(expected, found))
    lines = unread(expected.model_copy(update={"unread_views": lost}))
    if not named:
        return lines
    return (
        *lines,
        f"{expected.database}: the rows that these materialized views had: {', '.join(named)} (a restore refreshes them; they were "
        "stale, or what they select depends on when it is: REFRESH them in the source, and see the next drill)",
    )


def _other(expected: DatabaseProof, found: DatabaseProof) -> Iterator[str]:
    for name, before in expected.views.items():
        after = found.views.get(name)
        if after is not None and after != before:
            yield f"{name} ({before.rows:,} rows before, {after.rows:,} now)"
