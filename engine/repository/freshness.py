"""Is the regular work done? When an asset was last recorded, verified and proven, from keys alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from engine.repository.keys import Asset, SetKey
from engine.repository.stored import AHEAD, Catalogue, StoredSet
from engine.repository.verdict_keys import Check, VerdictKey
from engine.repository.verdicts import PASSED

Word = Literal["recorded", "verified", "proven"]

_CHECKS: dict[Word, Check] = {"verified": "verify", "proven": "drill"}


@dataclass(frozen=True, slots=True)
class Freshness:
    """When `word` was last true of an asset in a store (`at`; None: never), and whether that is within `max_hours`.

    An asset without a name whose kind has names: there is no set of that kind at all. `failed`: the newest set, where
    that one failed: what would be restored today is bad, whatever was good before it.
    """

    asset: Asset
    store: str
    word: Word
    at: datetime | None
    max_hours: float
    fresh: bool
    failed: SetKey | None = None


def freshness(
    source: str,
    stored: Mapping[str, Catalogue],
    now: datetime,
    max_age_hours: Mapping[str, float],
    exclude: Collection[str] = (),
    declared: Mapping[str, Sequence[str]] | None = None,
) -> tuple[Freshness, ...]:
    """Judge a source by what its stores hold; `stored` has the catalogues by store, its own store first.

    Each kind in `max_age_hours` is asked for, each of its assets by itself, and by kind what is `declared`, also where
    there is no set of it; but for names in `exclude`. Recorded: when
    the newest set that did not fail was begun, or the source was last seen to be as in one; never in time while the
    newest of all has failed. Verified and proven: when a verification or a drill of one of its sets last passed; the set
    of a whole source is proven, too, once all that its run stored beside it is. All three are asked of the source's own
    store; of the others recorded and verified, since one proof is enough where the bytes are the same.

    What is dated in the future counts for nothing: a clock that was wrong must not keep an alarm silent.
    """
    own = next(iter(stored))
    seen = [one for one in stored[own].verdicts if one.check == "source" and one.result in PASSED]
    return tuple(
        _judged(found, asset, store, word, now, max_age_hours[asset.kind], seen)
        for store, found in stored.items()
        for asset in _assets(source, stored[own], max_age_hours, exclude, declared or {})
        for word in _words(store == own)
    )


def last_time(stored: Catalogue, asset: Asset, word: Word, now: datetime) -> datetime | None:
    """When the word last came true of an asset; None: never. What is dated in the future counts for nothing."""
    seen = [one for one in stored.verdicts if one.check == "source" and one.result in PASSED]
    return max((at for at in _times(stored, asset, word, now, seen) if at - now < AHEAD), default=None)


def _words(own: bool) -> tuple[Word, ...]:
    return ("recorded", "verified", "proven") if own else ("recorded", "verified")


def _assets(
    source: str,
    stored: Catalogue,
    kinds: Iterable[str],
    exclude: Collection[str],
    declared: Mapping[str, Sequence[str]],
) -> Iterator[Asset]:
    """What there are sets of, and what there should be sets of; of a kind that has none, one line says so."""
    for kind in kinds:
        stored_too = [asset for asset in stored.assets if (asset.source, asset.kind) == (source, kind)]
        found: Iterable[Asset] = dict.fromkeys(
            (*stored_too, *(Asset(source, kind, name) for name in declared.get(kind, ())))
        )
        found = [asset for asset in found if not asset.name or asset.name not in exclude]
        yield from found or [Asset(source, kind, "")]


def _times(
    stored: Catalogue, asset: Asset, word: Word, now: datetime, seen: Sequence[VerdictKey]
) -> Iterator[datetime]:
    """When the word came true, each time."""
    if word == "recorded":
        good = {one.key: one.created for one in _until(stored, asset, now) if one.state != "failed"}
        yield from (*good.values(), *(one.at for one in seen if one.set in good))
        return
    for verdict in stored.verdicts:
        if verdict.set.asset == asset and verdict.check == _CHECKS[word] and verdict.result in PASSED:
            yield verdict.at
    if word == "proven" and not asset.name:
        yield from proven_in_parts(stored, asset).values()


def proven_in_parts(stored: Catalogue, whole: Asset) -> dict[SetKey, datetime]:
    """By set of a whole source, when the drills of all that its run stored beside it had passed; others are left out."""
    last: dict[SetKey, datetime] = {}
    for verdict in stored.verdicts:
        if verdict.check == "drill" and verdict.result in PASSED:
            last[verdict.set] = max(verdict.at, last.get(verdict.set, verdict.at))
    parts: dict[str, list[datetime | None]] = {}
    for one in stored.sets if last else ():
        if one.key.source == whole.source and one.key.asset != whole:
            parts.setdefault(_run(one.key), []).append(last.get(one.key))
    found = ((one.key, parts.get(_run(one.key), [])) for one in stored.assets.get(whole, ()))
    return {key: min(filter(None, times)) for key, times in found if times and all(times)}


def _run(key: SetKey) -> str:
    """What the sets of one run have in common: its time, since of a source only one runs at a time."""
    return key.set_id.partition("-")[0]


def proven_by(stored: Catalogue, key: SetKey) -> tuple[Asset, ...]:
    """What the passed drill of a set proves: that of which it is, and the whole source where this was its last part."""
    wholes = (asset for asset in stored.assets if asset.source == key.source and not asset.name)
    more = (whole for whole in wholes if whole != key.asset and _run(key) in map(_run, proven_in_parts(stored, whole)))
    return key.asset, *more


def _until(stored: Catalogue, asset: Asset, now: datetime) -> Iterator[StoredSet]:
    """Its sets, newest first, without those a wrong clock dated in the future."""
    return (one for one in stored.assets.get(asset, ()) if one.created - now < AHEAD)


def _judged(
    stored: Catalogue,
    asset: Asset,
    store: str,
    word: Word,
    now: datetime,
    max_hours: float,
    seen: Sequence[VerdictKey],
) -> Freshness:
    last = max((at for at in _times(stored, asset, word, now, seen) if at - now < AHEAD), default=None)
    newest = next(_until(stored, asset, now), None) if word == "recorded" else None
    failed = newest.key if newest and newest.state == "failed" else None
    fresh = failed is None and last is not None and now - last <= timedelta(hours=max_hours)
    return Freshness(asset, store, word, last, max_hours, fresh, failed)
