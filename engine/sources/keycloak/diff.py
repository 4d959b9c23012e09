"""What of a realm is another than it was, in words: names and fields, and never what a field says.

Of numbers and truth values, which are no secrets, both are told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from engine.progress import counted
from engine.sources.keycloak.realm import Fields, Realm, Thing
from engine.words.report import Table

How = Literal["added", "removed", "changed"]
_FIELDS, _ROWS = 12, 200


class Change(NamedTuple):
    """One thing that is another than it was; `fields` in words."""

    thing: Thing
    how: How
    fields: tuple[str, ...] = ()


def changes(before: Realm, after: Realm) -> tuple[Change, ...]:
    """All that differs, by what it is and its name."""
    return tuple(_changes(before, after))


def _changes(before: Realm, after: Realm) -> Iterator[Change]:
    for thing in sorted(before.things.keys() | after.things.keys()):
        was, now = before.things.get(thing), after.things.get(thing)
        if was is None:
            yield Change(thing, "added")
        elif now is None:
            yield Change(thing, "removed")
        elif was != now:
            yield Change(thing, "changed", tuple(_fields(was, now)))


def _fields(was: Fields, now: Fields) -> Iterator[str]:
    for name in sorted(was.keys() | now.keys()):
        old, new = was.get(name), now.get(name)
        if old != new or isinstance(old, bool) is not isinstance(new, bool):
            yield f"{name} {_message(old)} to {_message(new)}" if _tellable(old) and _tellable(new) else name


def _tellable(value: object) -> bool:
    return isinstance(value, bool | int | float)


def _message(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class Loss(NamedTuple):
    """What did not come back: the thing, and its field ('': all of it, or one too many)."""

    thing: Thing
    field: str
    expected: str
    found: str


def losses(expected: Realm, found: Realm) -> tuple[tuple[Loss, ...], int]:
    """What an import lost or made another, and how many fields it has added to what it made: Keycloak gives defaults to
    what an older version did not have. A thing more is held against it too."""
    lost: list[Loss] = []
    added = 0
    for thing in sorted(expected.things.keys() | found.things.keys()):
        was, now = expected.things.get(thing), found.things.get(thing)
        if was is None or now is None:
            lost.append(Loss(thing, "", "nothing" if was is None else "it", "it" if was is None else "nothing"))
            continue
        lost += [
            Loss(thing, name, "as it was", "nothing" if name not in now else "another")
            for name in was
            if now.get(name) != was[name]
        ]
        added += len(now.keys() - was.keys())
    return tuple(lost), added


def changes_table(title: str, found: Sequence[Change]) -> Table:
    """For people, the first few hundred."""
    return Table(
        title,
        ("what", "was", "fields"),
        tuple((str(one.thing), one.how, _shown(one.fields)) for one in found[:_ROWS]),
        more=f"and {counted(len(found) - _ROWS, 'more')}" if len(found) > _ROWS else "",
    )


def _shown(fields: Sequence[str]) -> str:
    more = f" and {len(fields) - _FIELDS} more" if len(fields) > _FIELDS else ""
    return ", ".join(fields[:_FIELDS]) + more


def summary(found: Sequence[Change]) -> str:
    """In a line: `2 clients changed, 1 user added`."""
    if not found:
        return "nothing"
    totals = Counter((one.thing.part, one.how) for one in found)
    return ", ".join(f"{counted(count, part)} {how}" for (part, how), count in totals.items())
