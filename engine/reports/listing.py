"""What a store holds: every set with its state, size, age and why it is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from engine.progress import counted, readable_bytes, readable_seconds
from engine.reports.overview import Kept, overview_tables
from engine.sources.registry import kind_named, kinds
from engine.words.layout import Row
from engine.words.report import Report, Table
from engine.words.wording import readable_time

if TYPE_CHECKING:
    from engine.repository.keys import Asset, SetKey
    from engine.repository.retention import Decision
    from engine.repository.stored import IncompleteSet, StoredSet
    from engine.repository.verdicts import State

_ROWS = 100  # of a list, unless there are more assets than that


@dataclass(frozen=True)
class Listing:
    """What one store holds, with why each set is kept or may go.

    `shown` are those of `decisions` that get a line, newest first and each with its size; `remarks`: see
    `verdicts.remarks`; `kept` each thing there are sets of; `empty`: there is nothing at all of the asked `source` (None: of any).
    """

    store: str
    address: str
    decisions: Sequence[Decision]
    shown: Sequence[Decision]
    incomplete: Sequence[IncompleteSet]
    remarks: Mapping[SetKey, str] = field(default_factory=dict)
    unsealed: int = 0
    source: str | None = None
    kept: Sequence[Kept] = ()
    empty: bool = False

    def remark(self, one: StoredSet) -> str:
        """What its state alone does not say: `incomplete`, `sampled` or ''."""
        return self.remarks.get(one.key, "")


def newest_of_each(decisions: Iterable[Decision]) -> list[Decision]:
    """What people can take in of a long list, newest first: the newest sets of each asset, equally
    many of each, about a hundred in all; of a thousand assets the newest one each. Of each the decisions are given
    newest first."""
    assets: dict[Asset, list[Decision]] = {}
    for one in decisions:
        assets.setdefault(one.set.key.asset, []).append(one)
    each = max(1, _ROWS // max(1, len(assets)))
    return newest_first(one for own in assets.values() for one in own[:each])


def newest_first(decisions: Iterable[Decision]) -> list[Decision]:
    """All of them, by the time their sets were begun."""
    return sorted(decisions, key=lambda one: one.set.key.set_id, reverse=True)


def list_report(listings: Sequence[Listing], now: datetime, platforms: Mapping[str, str] | None = None) -> Report:
    """The sets of the listed stores: how many of which state, each thing there is in one table, and those to be shown.
    `platforms` has by source the platform that it is a part of; None: there is no such table."""
    sets = [one.set for listing in listings for one in listing.decisions]
    counts = Counter(one.state for one in sets)
    order: tuple[State, ...] = ("proven", "verified", "recorded", "failed")
    states = ", ".join(f"{counts[state]:,} {state}" for state in order if counts[state])
    return Report(
        title="Stored sets",
        sentence=f"{counted(len(sets), 'set')}{_size_of(listings)}{': ' if states else ''}{states}.",
        tables=(
            *_overview(listings, now, platforms),
            *(table for listing in listings for table in _by_source(listing, now)),
        ),
        next_steps=(
            *_explained(
                {
                    listing.remark(one.set)
                    for listing in listings
                    if listing.remarks  # as a rule there are none
                    for one in listing.decisions
                }
            ),
            *(_unfinished(listing) for listing in listings if listing.incomplete),
            *(_unsealed(listing) for listing in listings if listing.unsealed),
            *(_nothing(listing) for listing in listings if listing.empty),
        ),
    )


def _overview(listings: Sequence[Listing], now: datetime, platforms: Mapping[str, str] | None) -> tuple[Table, ...]:
    if platforms is None:
        return ()
    return overview_tables([one for listing in listings for one in listing.kept], platforms, now)


def _size_of(listings: Sequence[Listing]) -> str:
    """All bytes, where they are known without looking at every file."""
    whole = [len(one.shown) == len(one.decisions) for one in listings]
    sizes = [
        one.set.size
        for listing, all_shown in zip(listings, whole, strict=True)
        for one in (listing.shown if all_shown else listing.decisions)
    ]
    return "" if None in sizes else f", {readable_bytes(sum(size or 0 for size in sizes))}"


def _by_source(listing: Listing, now: datetime) -> Iterator[Table]:
    rows: dict[str, list[Row]] = {}
    for decision in listing.shown:
        rows.setdefault(decision.set.key.source, []).append(_row(decision, listing.remark(decision.set), now))
    sets = Counter(one.set.key.source for one in listing.decisions)
    for source, own in rows.items():
        yield Table(
            f"{source} in {listing.store} ({listing.address})",
            ("begun", "age", "what", "state", "size", "set", "kept because"),
            tuple(own),
            right=("age", "size"),
            more=_older(sets[source] - len(own), listing, source),
        )


def _older(sets: int, listing: Listing, source: str) -> str:
    if not sets:
        return ""
    named = {key.kind for one in listing.shown if (key := one.set.key).source == source and key.name}
    of_one = "".join(f", --{kind.noun} NAME those of one {kind.noun}" for kind in kinds() if kind.name in named)
    return f"and {counted(sets, 'more set')}: --all shows them{of_one}"


def _row(decision: Decision, remark: str, now: datetime) -> Row:
    one, why = decision.set, "; ".join(decision.reasons)
    return (
        readable_time(one.created),
        readable_seconds(max(0.0, (now - one.created).total_seconds())),
        one.key.asset.label,
        f"{one.state}, {remark}" if remark else one.state,
        "" if one.size is None else readable_bytes(one.size),
        one.key.set_id,
        why if decision.keep else f"may go: {why}",
    )


def _explained(remarks: set[str]) -> Iterator[str]:
    if "incomplete" in remarks:
        yield "incomplete: the drill passed, and something of the source is not in the set; `show <set>` names it."
    if "sampled" in remarks:
        yield "sampled: a drill restored the set and compared a sample of its rows; that does not prove it."


def _nothing(listing: Listing) -> str:
    of_whom = f" of {listing.source}" if listing.source else ""
    return f"Nothing{of_whom} was ever stored at {listing.address}: is its path right, and is its disk mounted?"


def unknown(listings: Sequence[Listing], wanted: tuple[str, str] | None) -> str:
    """What to say of a name that no store knows, where there is anything; empty: it is known."""
    found = any(listing.decisions or listing.incomplete for listing in listings)
    if not wanted or found or all(listing.empty for listing in listings):
        return ""
    noun = kind_named(wanted[0]).noun
    return f"There is no set of {noun} {wanted[1]!r}: `list` without --{noun} shows the names there are."


def _unsealed(listing: Listing) -> str:
    return (
        f"{counted(listing.unsealed, 'verdict')} in {listing.store} without the tag of its digest_key: written before "
        "the key, or by somebody without it; they do not count, verify and drill again."
    )


def _unfinished(listing: Listing) -> str:
    return (
        f"{counted(len(listing.incomplete), 'set')} in {listing.store} without a manifest: being written, or left "
        "by a killed backup; the next backup of that source removes what is left."
    )
