"""Which sets stay and which go, and why: a pure function of the sets, the policy and the time.

1. A set stays while any rule wants it: younger than `days`; one of the newest `last`; the newest of a
   day, ISO week or month (UTC) of the newest `daily`, `weekly`, `monthly` ones that have a set.
2. Places are given twice: among the good sets (verified or proven) alone, so that nothing newer that is
   merely recorded, or failed, takes a good set's place; and among all that did not fail.
3. The newest good set and the newest proven set always stay, and the newest `minimum` good ones.
4. Failed sets fill no place: they go by age alone, and never before a newer good set exists.
5. When the clock is in doubt (`clock_doubt`), everything stays until somebody says otherwise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from engine.config.settings import Retention
from engine.progress import counted
from engine.repository.stored import StoredSet, by_age
from engine.repository.verdicts import GOOD

WEEK = timedelta(days=7)
_BEHIND = timedelta(minutes=10)  # two hosts' clocks may differ by so much
_LATE = timedelta(hours=12)  # a weekly backup may be late by so much
_ANYWAY = "pass allow_clock_jump=True (--even-so) to prune all the same"

_Wanted = defaultdict[str, list[str]]  # by set id, which is unique in a scope: hashing the sets is slow


class Decision(NamedTuple):
    """What becomes of a set: it stays (`keep`) or may go; `reasons` in words, at least one."""

    set: StoredSet
    keep: bool
    reasons: tuple[str, ...]


def decide(
    sets: Iterable[StoredSet], policy: Retention, now: datetime, *, allow_clock_jump: bool = False
) -> tuple[Decision, ...]:
    """Judge the sets of one asset, newest first."""
    ordered = sorted(sets, key=by_age, reverse=True)
    doubt = None if allow_clock_jump else clock_doubt((one.created for one in ordered), now)
    if doubt:
        return tuple(Decision(one, True, (doubt,)) for one in ordered)
    good = [one for one in ordered if one.state in GOOD]
    wanted: _Wanted = defaultdict(list)
    _want_newest(good, ordered, wanted)
    _want_young(ordered, policy, now, wanted)
    _want_slots(good, policy, wanted)
    _want_slots([one for one in ordered if one.state != "failed"], policy, wanted)
    _want_failed(ordered, good, wanted)
    return tuple(_decision(one, wanted.get(one.key.set_id), policy) for one in ordered)


def clock_doubt(sets: Iterable[datetime], now: datetime, others: Iterable[datetime] = ()) -> str | None:
    """Why the clock should not be trusted to prune by; None when it may be.

    `sets` is when sets were begun, `others` what else the source left in the store with a time: verdicts
    and incomplete sets. The clock went back when any of it is in the future. Backups have stopped, or the
    clock jumped, when the newest set is more than a week old; or when the trail of all of it has a gap of
    more than a week and what came after the gap is not yet a week long.
    """
    begun = list(sets)
    if not begun:
        return None
    newest = max(begun)
    trail = _since([*begun, *others], now - WEEK)
    if trail[0] - now > _BEHIND:
        return (
            f"the clock went back: the newest set or verdict is dated {_stamp(trail[0])} and it is "
            f"{_stamp(now)}; nothing is pruned; set the clock, or {_ANYWAY}"
        )
    if now - newest > WEEK:
        return (
            f"the newest set is {(now - newest).days} days old: backups have stopped or the clock jumped; "
            f"nothing is pruned; start the backups, or {_ANYWAY}"
        )
    for later, at in pairwise(trail):
        if now - later >= WEEK:
            break
        if later - at > WEEK + _LATE:
            return (
                f"nothing was stored between {_stamp(at)} and {_stamp(later)}: backups had stopped or the "
                f"clock jumped; nothing is pruned until a week after the gap; set the clock, or {_ANYWAY}"
            )
    return None


def _since(times: Collection[datetime], since: datetime) -> list[datetime]:
    """The times after `since` and the last one before, newest first: no more of a long trail matters."""
    young = sorted((at for at in times if at > since), reverse=True)
    before = max((at for at in times if at <= since), default=None)
    return young if before is None else [*young, before]


def _want_newest(good: Sequence[StoredSet], ordered: Sequence[StoredSet], wanted: _Wanted) -> None:
    proven = next((one for one in good if one.state == "proven"), None)
    if proven:
        wanted[proven.key.set_id].append("newest proven")
    if good and good[0] is not proven:
        wanted[good[0].key.set_id].append("newest verified")
    if good and any(one.state == "failed" and one.created > good[0].created for one in ordered):
        wanted[good[0].key.set_id].append("newer sets failed")


def _want_young(ordered: Sequence[StoredSet], policy: Retention, now: datetime, wanted: _Wanted) -> None:
    since = now - timedelta(days=policy.days)
    why = f"younger than {counted(policy.days, 'day')}"
    for one in ordered:
        if one.created > since:
            wanted[one.key.set_id].append(why)


def _want_slots(contenders: Sequence[StoredSet], policy: Retention, wanted: _Wanted) -> None:
    for one, why in _slots(contenders, policy):
        wanted[one.key.set_id].append(why)


def _slots(newest_first: Sequence[StoredSet], policy: Retention) -> Iterator[tuple[StoredSet, str]]:
    for one in newest_first[: policy.last]:
        yield one, "the newest" if policy.last == 1 else f"one of the newest {policy.last}"
    rules: tuple[tuple[int, Callable[[datetime], str]], ...] = (
        (policy.daily, lambda at: at.strftime("daily %Y-%m-%d")),
        (policy.weekly, lambda at: at.strftime("weekly %G-W%V")),
        (policy.monthly, lambda at: at.strftime("monthly %Y-%m")),
    )
    for count, period in rules:
        if not count:
            continue
        taken: dict[str, StoredSet] = {}
        for one in newest_first:
            name = period(one.created)
            if name not in taken and len(taken) == count:
                break
            taken.setdefault(name, one)
        yield from ((one, name) for name, one in taken.items())
    for one in newest_first[: policy.minimum]:
        yield (
            one,
            "the one kept at least" if policy.minimum == 1 else f"one of the {policy.minimum} kept at least",
        )


def _want_failed(ordered: Sequence[StoredSet], good: Sequence[StoredSet], wanted: _Wanted) -> None:
    for one in ordered:
        if good and one.created < good[0].created:
            return
        if one.state == "failed":
            wanted[one.key.set_id].append("failed, and no newer set is good")


def _decision(one: StoredSet, why: list[str] | None, policy: Retention) -> Decision:
    if why:
        return Decision(one, True, tuple(dict.fromkeys(why)))
    return Decision(one, False, _why_it_goes(one.state == "failed", policy))


@lru_cache(maxsize=16)  # the same words for thousands of sets
def _why_it_goes(failed: bool, policy: Retention) -> tuple[str, ...]:
    age = f"older than {counted(policy.days, 'day')}"
    if failed:
        return (age, "failed, and a newer set is good")
    if policy.last or policy.daily or policy.weekly or policy.monthly:
        return (age, "newer sets have its last, daily, weekly and monthly places")
    return (age,)


def _stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M UTC")
