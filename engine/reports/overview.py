"""All that is kept in one table, a line for each thing, whatever kind it is: newest set, its state and age, proven when."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from engine.progress import counted, readable_seconds
from engine.repository.freshness import last_time
from engine.words.layout import Row
from engine.words.report import Report, Table
from engine.words.wording import readable_time

if TYPE_CHECKING:
    from engine.repository.keys import Asset
    from engine.repository.stored import Catalogue, StoredSet
    from engine.repository.verdict_keys import VerdictKey


@dataclass(frozen=True)
class Kept:
    """One thing in one store: its newest set, when the source was last seen to be as in it, and when it was last proven."""

    store: str
    asset: Asset
    newest: StoredSet
    seen: datetime
    proven: datetime | None


def kept_in(store: str, stored: Catalogue, now: datetime, but: Collection[str] = ()) -> tuple[Kept, ...]:
    """What a store has sets of, by source and kind, without those kinds."""
    verdicts: defaultdict[Asset, list[VerdictKey]] = defaultdict(list)
    for one in stored.verdicts:
        verdicts[one.set.asset].append(one)
    return tuple(
        _kept(store, asset, stored, verdicts[asset], now) for asset in sorted(stored.assets) if asset.kind not in but
    )


def _kept(store: str, asset: Asset, stored: Catalogue, verdicts: Sequence[VerdictKey], now: datetime) -> Kept:
    """Of all that is stored only what is of it is gone through: there may be hundreds of them. A whole source is proven by
    its parts too."""
    sets = stored.assets[asset]
    own = replace(stored, sets=sets, incomplete=(), verdicts=tuple(verdicts)) if asset.name else stored
    seen = last_time(own, asset, "recorded", now) or sets[0].created
    return Kept(store, asset, sets[0], seen, last_time(own, asset, "proven", now))


def overview_report(kept: Sequence[Kept], platforms: Mapping[str, str], now: datetime) -> Report:
    """`platforms` has by source the platform that it is a part of."""
    proven = sum(one.newest.state == "proven" for one in kept)
    return Report(
        title="All that is kept",
        sentence=f"{counted(len(kept), 'thing')}; of {proven} the newest set is proven.",
        tables=tuple(_tables(kept, platforms, now)),
    )


def overview_tables(kept: Sequence[Kept], platforms: Mapping[str, str], now: datetime) -> tuple[Table, ...]:
    """One for each platform, where it is more than one source; `list` has its own of the sets of each."""
    return tuple(_tables(kept, platforms, now)) if len({one.asset.source for one in kept}) > 1 else ()


def _tables(kept: Sequence[Kept], platforms: Mapping[str, str], now: datetime) -> Iterator[Table]:
    rows: dict[str, list[Row]] = {}
    for one in kept:
        rows.setdefault(platforms.get(one.asset.source, ""), []).append(_row(one, now))
    for platform in sorted(rows, key=lambda name: (not name, name)):
        yield Table(
            f"Platform {platform}" if platform else "Of no platform" if len(rows) > 1 else "All that is kept",
            ("source", "what", "newest", "age", "state", "proven", "store"),
            tuple(rows[platform]),
            right=("age",),
        )


def _row(one: Kept, now: datetime) -> Row:
    return (
        one.asset.source,
        one.asset.label,
        one.newest.key.set_id,
        readable_seconds(max(0.0, (now - one.seen).total_seconds())),
        one.newest.state,
        readable_time(one.proven) if one.proven else "never",
        one.store,
    )
