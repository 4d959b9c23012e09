"""Which sets a further store lacks, from the keys alone."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from engine.repository.keys import Asset, SetKey
from engine.repository.repository import Repository
from engine.repository.retention import decide
from engine.repository.stored import Catalogue, StoredSet

DAYS = 7
"""How far back a run looks for sets that a further store lacks."""


def missing(
    mine: Catalogue, theirs: Catalogue, destination: Repository, now: datetime, days: int = DAYS
) -> list[SetKey]:
    """The sets to be copied, the newest first, judged from keys: those since `days` days, and of each asset
    the newest good one of whatever age (what does not change makes no new ones), that the destination lacks (or has not all files of), did not fail, and would be kept there."""
    there = {one.key: one.files for one in theirs.sets}
    newest = {one.key for asset in mine.assets if (one := mine.newest(asset, "newest-usable"))}
    lacking = [
        one
        for one in mine.sets
        if there.get(one.key) != one.files
        and one.state != "failed"
        and (one.key in newest or now - one.created < timedelta(days))
    ]
    kept = _kept_there(lacking, theirs, destination, now)
    return [one.key for one in sorted(lacking, key=lambda one: one.created, reverse=True) if one.key in kept]


def _kept_there(lacking: Iterable[StoredSet], theirs: Catalogue, destination: Repository, now: datetime) -> set[SetKey]:
    """Those that the destination's retention would keep: else each backup run would copy and prune them."""
    assets: dict[Asset, list[StoredSet]] = {}
    for one in lacking:
        assets.setdefault(one.key.asset, []).append(one._replace(state="recorded"))
    kept: set[SetKey] = set()
    for asset, new in assets.items():
        policy = destination.retention.get(asset.kind)
        if policy is None:  # what nothing is known of stays there
            kept.update(one.key for one in new)
            continue
        own = {one.key for one in new}
        sets = [*new, *(one for one in theirs.assets.get(asset, ()) if one.key not in own)]
        kept.update(one.set.key for one in decide(sets, policy, now, allow_clock_jump=True) if one.keep)
    return kept
