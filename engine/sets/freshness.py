"""Is the daily work done? When a server was last recorded, verified and proven, from keys alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from engine.sets.catalogue import Catalogue
from engine.sets.keys import VerdictKind
from engine.sets.verdicts import PASSED

Word = Literal["recorded", "verified", "proven"]

MAX_AGE_HOURS = 26.0
"""A day, and two hours for a slow night."""

_AHEAD = timedelta(minutes=10)  # two hosts' clocks may differ by so much
_KINDS: dict[Word, VerdictKind] = {"verified": "verify", "proven": "drill"}


@dataclass(frozen=True, slots=True)
class Freshness:
    """When `word` was last true of a server in a store (`at`; None: never), and whether that is of late."""

    server: str
    store: str
    word: Word
    at: datetime | None
    fresh: bool


def freshness(
    server: str, stored: Mapping[str, Catalogue], now: datetime, max_age_hours: float = MAX_AGE_HOURS
) -> tuple[Freshness, ...]:
    """Judge a server by what its stores hold; `stored` has the catalogues by store, its own store first.

    Recorded: when the newest cluster set that did not fail was begun. Verified and proven: when a
    verification or a drill of a set of the server last passed. All three are asked of its own store; of
    the others recorded and verified, since one proof is enough where the bytes are the same.

    What is dated in the future counts for nothing: a clock that was wrong must not keep an alarm silent.
    """
    own = next(iter(stored))
    return tuple(
        _judged(server, store, word, _times(found, server, word), now, timedelta(hours=max_age_hours))
        for store, found in stored.items()
        for word in (("recorded", "verified", "proven") if store == own else ("recorded", "verified"))
    )


def _times(stored: Catalogue, server: str, word: Word) -> Iterable[datetime]:
    if word == "recorded":
        sets = stored.scopes.get((server, None), ())
        return (one.created for one in sets if one.state != "failed")
    return (
        verdict.at
        for verdict in stored.verdicts
        if verdict.server == server and verdict.kind == _KINDS[word] and verdict.result in PASSED
    )


def _judged(
    server: str, store: str, word: Word, times: Iterable[datetime], now: datetime, max_age: timedelta
) -> Freshness:
    last = max((at for at in times if at - now < _AHEAD), default=None)
    return Freshness(server, store, word, last, last is not None and now - last <= max_age)
