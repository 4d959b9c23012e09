"""Is the regular work done? When an asset was last recorded, verified and proven, from keys alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from engine.repository.keys import Asset
from engine.repository.stored import Catalogue
from engine.repository.verdict_keys import Check
from engine.repository.verdicts import PASSED

Word = Literal["recorded", "verified", "proven"]

_AHEAD = timedelta(minutes=10)  # two hosts' clocks may differ by so much
_CHECKS: dict[Word, Check] = {"verified": "verify", "proven": "drill"}


@dataclass(frozen=True, slots=True)
class Freshness:
    """When `word` was last true of an asset in a store (`at`; None: never), and whether that is within `max_hours`.

    An asset without a name whose kind has names: there is no set of that kind at all.
    """

    asset: Asset
    store: str
    word: Word
    at: datetime | None
    max_hours: float
    fresh: bool


def freshness(
    source: str, stored: Mapping[str, Catalogue], now: datetime, max_age_hours: Mapping[str, float]
) -> tuple[Freshness, ...]:
    """Judge a source by what its stores hold; `stored` has the catalogues by store, its own store first.

    Each kind in `max_age_hours` is asked for, each of its assets by itself. Recorded: when the newest set that did not
    fail was begun. Verified and proven: when a verification or a drill of one of its sets last passed. All three are
    asked of the source's own store; of the others recorded and verified, since one proof is enough where the bytes are
    the same.

    What is dated in the future counts for nothing: a clock that was wrong must not keep an alarm silent.
    """
    own = next(iter(stored))
    return tuple(
        _judged(asset, store, word, _times(found, asset, word), now, max_age_hours[asset.kind])
        for store, found in stored.items()
        for asset in _assets(source, stored[own], max_age_hours)
        for word in _words(store == own)
    )


def _words(own: bool) -> tuple[Word, ...]:
    return ("recorded", "verified", "proven") if own else ("recorded", "verified")


def _assets(source: str, stored: Catalogue, kinds: Iterable[str]) -> Iterator[Asset]:
    """What there are sets of; of a kind that has none, one line says so."""
    for kind in kinds:
        found = [asset for asset in stored.assets if (asset.source, asset.kind) == (source, kind)]
        yield from found or [Asset(source, kind, "")]


def _times(stored: Catalogue, asset: Asset, word: Word) -> Iterable[datetime]:
    if word == "recorded":
        return (one.created for one in stored.assets.get(asset, ()) if one.state != "failed")
    return (
        verdict.at
        for verdict in stored.verdicts
        if verdict.set.asset == asset and verdict.check == _CHECKS[word] and verdict.result in PASSED
    )


def _judged(
    asset: Asset, store: str, word: Word, times: Iterable[datetime], now: datetime, max_hours: float
) -> Freshness:
    last = max((at for at in times if at - now < _AHEAD), default=None)
    fresh = last is not None and now - last <= timedelta(hours=max_hours)
    return Freshness(asset, store, word, last, max_hours, fresh)
