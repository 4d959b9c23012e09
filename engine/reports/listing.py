"""What a store holds: every set with its state, size, age and why it is kept; and one set in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from engine.progress import counted, readable_bytes, readable_seconds
from engine.reports.report import Report, Row, Table
from engine.reports.wording import of_what, readable_time

if TYPE_CHECKING:
    from engine.sets.catalogue import IncompleteSet, StoredSet
    from engine.sets.keys import VerdictKey
    from engine.sets.manifest import Body
    from engine.sets.retention import Decision
    from engine.sets.verdicts import State

_SHOWN = 1000
_ROWS = 100  # of a list, unless there are more databases than that


@dataclass(frozen=True)
class Listing:
    """What one store holds, with why each set is kept or may go.

    `shown` are those of `decisions` that get a line, newest first and each with its size; `remarks`: see
    `verdicts.remarks`; `empty`: there is nothing at all of the asked `server` (None: of any).
    """

    store: str
    address: str
    decisions: Sequence[Decision]
    shown: Sequence[Decision]
    incomplete: Sequence[IncompleteSet]
    remarks: Mapping[tuple[str, str], str] = field(default_factory=dict)
    unsealed: int = 0
    server: str | None = None
    empty: bool = False

    def remark(self, one: StoredSet) -> str:
        """What its state alone does not say: `incomplete`, `sampled` or ''."""
        return self.remarks.get((one.key.server, one.key.set_id), "")


def newest_of_each(decisions: Iterable[Decision]) -> list[Decision]:
    """What people can take in of a long list, newest first: the newest sets of each database (and cluster),
    equally many of each, about a hundred in all; of a thousand databases the newest one each. Of each database
    the decisions are given newest first."""
    scopes: dict[tuple[str, str | None], list[Decision]] = {}
    for one in decisions:
        scopes.setdefault((one.set.key.server, one.set.key.database), []).append(one)
    each = max(1, _ROWS // max(1, len(scopes)))
    return newest_first(one for scope in scopes.values() for one in scope[:each])


def newest_first(decisions: Iterable[Decision]) -> list[Decision]:
    """All of them, by the time their sets were begun."""
    return sorted(decisions, key=lambda one: one.set.key.set_id, reverse=True)


def list_report(listings: Sequence[Listing], now: datetime, database: str | None = None) -> Report:
    """The sets of the listed stores: how many of which state, and those to be shown; of one `database` when named."""
    sets = [one.set for listing in listings for one in listing.decisions]
    counts = Counter(one.state for one in sets)
    order: tuple[State, ...] = ("proven", "verified", "recorded", "failed")
    states = ", ".join(f"{counts[state]:,} {state}" for state in order if counts[state])
    return Report(
        title="Stored sets",
        sentence=f"{counted(len(sets), 'set')}{_size_of(listings)}{': ' if states else ''}{states}.",
        tables=tuple(table for listing in listings for table in _by_server(listing, now)),
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
            *_unknown(listings, database),
        ),
    )


def _size_of(listings: Sequence[Listing]) -> str:
    """All bytes, where they are known without looking at every file."""
    whole = [len(one.shown) == len(one.decisions) for one in listings]
    sizes = [
        one.set.size
        for listing, all_shown in zip(listings, whole, strict=True)
        for one in (listing.shown if all_shown else listing.decisions)
    ]
    return "" if None in sizes else f", {readable_bytes(sum(size or 0 for size in sizes))}"


def _by_server(listing: Listing, now: datetime) -> Iterator[Table]:
    rows: dict[str, list[Row]] = {}
    for decision in listing.shown:
        rows.setdefault(decision.set.key.server, []).append(_row(decision, listing.remark(decision.set), now))
    sets = Counter(one.set.key.server for one in listing.decisions)
    for server, own in rows.items():
        yield Table(
            f"{server} in {listing.store} ({listing.address})",
            ("begun", "age", "database", "state", "size", "set", "kept because"),
            tuple(own),
            right=("age", "size"),
            more=_older(sets[server] - len(own)),
        )


def _older(sets: int) -> str:
    if not sets:
        return ""
    return f"and {counted(sets, 'older set')}: --all shows them, --database NAME those of one database"


def _row(decision: Decision, remark: str, now: datetime) -> Row:
    one, why = decision.set, "; ".join(decision.reasons)
    return (
        readable_time(one.created),
        readable_seconds(max(0.0, (now - one.created).total_seconds())),
        of_what(one.key.database),
        f"{one.state}, {remark}" if remark else one.state,
        "" if one.size is None else readable_bytes(one.size),
        one.key.set_id,
        why if decision.keep else f"may go: {why}",
    )


def _explained(remarks: set[str]) -> Iterator[str]:
    if "incomplete" in remarks:
        yield "incomplete: the drill passed, and something of the server is not in the set; `show <set>` names it."
    if "sampled" in remarks:
        yield "sampled: a drill restored the set and compared a sample of its rows; that does not prove it."


def _nothing(listing: Listing) -> str:
    of_whom = f" of {listing.server}" if listing.server else ""
    return (
        f"Nothing{of_whom} was ever stored at {listing.address}: is its path right, and is its disk mounted?"
    )


def _unknown(listings: Sequence[Listing], database: str | None) -> Iterator[str]:
    found = any(listing.decisions or listing.incomplete for listing in listings)
    if database is not None and not found and not all(listing.empty for listing in listings):
        yield f"There is no set of a database {database!r}: `list` without --database shows the names there are."


def _unsealed(listing: Listing) -> str:
    return (
        f"{counted(listing.unsealed, 'verdict')} in {listing.store} without the tag of its digest_key: written before "
        "the key, or by somebody without it; they do not count, verify and drill again."
    )


def _unfinished(listing: Listing) -> str:
    return (
        f"{counted(len(listing.incomplete), 'set')} in {listing.store} without a manifest: being written, or left "
        "by a killed backup; the next backup of that server removes what is left."
    )


def show_report(body: Body, state: State, verdicts: Sequence[VerdictKey], address: str) -> Report:
    """One set in words: what its manifest says, and what was found about it since."""
    what = "the whole server" if body.database is None else f"database {body.database}"
    dumped = {file.database for file in body.files if file.kind in ("sql", "dump")}
    return Report(
        title=f"Set {body.key}",
        sentence=(
            f"{what[0].upper()}{what[1:]} as it was on {readable_time(body.created)}, "
            f"{readable_bytes(body.size)} in {address}; it is {state}{_but(body, state)}."
        ),
        facts=_facts(body, len(dumped)),
        tables=(
            _files(body),
            Table("Not in the set", ("what",), tuple((what,) for what in body.missing)),
            _timings(body),
            _extensions(body),
            _verdicts(verdicts),
        ),
        next_steps=_next_steps(body, state),
    )


def _but(body: Body, state: State) -> str:
    if body.sample_percent < 100:
        return f"; its proof covers {body.sample_percent} % of the rows, so that no drill can prove it"
    if body.missing and state == "proven":
        return f", but not everything is in it ({counted(len(body.missing), 'thing')} below)"
    return ""


def _facts(body: Body, databases: int) -> tuple[tuple[str, str], ...]:
    encrypted = f"to {', '.join(body.recipients)}" if body.encrypted else "no"
    return (
        ("set id", body.set_id),
        ("databases", f"{databases:,}"),
        ("encrypted", encrypted),
        ("PostgreSQL", f"{body.server_version} (dumped with {body.client_version})"),
        ("system identifier", body.system_identifier),
        ("image", body.image or "-"),
        (
            "proof",
            "every row"
            if body.sample_percent == 100
            else f"{body.sample_percent} % of the rows, all counted",
        ),
        ("roles", ", ".join(body.roles[:50])),
        ("written by", f"platform-ops {body.product_version}"),
    )


def _files(body: Body) -> Table:
    rows = tuple(
        (file.name, file.kind, readable_bytes(file.size), file.sha256[:16]) for file in body.files[:_SHOWN]
    )
    return Table("Files", ("file", "kind", "size", "SHA-256 begins"), rows, right=("size",))


def _timings(body: Body) -> Table:
    rows = tuple(
        (
            name,
            readable_time(timing.started),
            readable_seconds(timing.seconds),
            readable_seconds(body.snapshot_seconds.get(name, 0.0)),
        )
        for name, timing in list(body.timings.items())[:_SHOWN]
    )
    return Table(
        "Times", ("database", "begun", "took", "snapshot held"), rows, right=("took", "snapshot held")
    )


def _extensions(body: Body) -> Table:
    rows = tuple(
        (database, ", ".join(f"{name} {version}" for name, version in sorted(extensions.items())))
        for database, extensions in list(body.extensions.items())[:_SHOWN]
        if extensions
    )
    return Table("Extensions", ("database", "extensions"), rows)


def _verdicts(verdicts: Sequence[VerdictKey]) -> Table:
    newest_first = sorted(verdicts, key=lambda one: one.at, reverse=True)
    rows = tuple((readable_time(one.at), one.kind, one.result) for one in newest_first)
    return Table("Verdicts", ("time", "kind", "result"), rows)


def _next_steps(body: Body, state: State) -> tuple[str, ...]:
    drill = f"platformctl drill {body.key}"
    if body.sample_percent < 100 and state != "failed":
        return (f"{drill} restores it and compares the sample; it cannot become proven.",)
    return {
        "recorded": (f"Not proven yet: {drill} restores it into a scratch server and compares.",),
        "verified": (f"Its bytes were read again and are equal; {drill} would prove that it restores.",),
        "proven": ("What is listed as not in the set has to come from somewhere else.",)
        if body.missing
        else (),
        "failed": ("Do not rely on this set: the verdicts above tell when it failed.",),
    }[state]
