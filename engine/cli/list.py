"""platformctl list"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from engine.cli.invocation import Invocation, operation, source_option, store_option
from engine.cli.kind_options import OneOfAKind, Wanted, of_kinds, one_of
from engine.cli.outcome import Outcome
from engine.reports.listing import Listing, list_report, newest_first, newest_of_each
from engine.repository.catalogue import catalogue
from engine.repository.keys import SetKey
from engine.repository.prune_plan import plan_of, with_sizes
from engine.repository.repository import Repository
from engine.repository.retention import Decision
from engine.repository.stored import Catalogue
from engine.repository.verdicts import remarks


@click.command(
    cls=OneOfAKind,
    help="""List the stored sets, newest first.

    recorded: stored with its proof. verified: its bytes were read again and are equal. proven: a
    drill restored it and found it equal (incomplete: and something is not in the set, which `show` names).
    sampled: a drill compared only some rows. failed: do not rely on it. Nothing but names is read.
    Of many sets, the newest of each thing are shown; --all and --json show every one.

    \b
    Example:
      platformctl list --source platform --database kohub
    """,
)
@store_option("Only this store; else all of them, or those of --source.")
@source_option("Only sets of this source.")
@click.option("--all", "everything", is_flag=True, help="Every set, however many there are.")
@operation
@of_kinds
def command(
    invocation: Invocation, store: str | None, source: str | None, everything: bool, wanted: Sequence[Wanted]
) -> Outcome:
    now = datetime.now(UTC)
    # With --store, a source that is in the configuration no longer may be listed too.
    names = invocation.stores(store, None if store else source)
    everything |= invocation.as_json
    thing = one_of(wanted)
    listings = [_listing(invocation.repository(name), source, thing, now, everything) for name in names]
    if invocation.as_json:
        return Outcome("list", {"stores": [_document(listing, now) for listing in listings]})
    return Outcome("list", report=list_report(listings, now, thing))


def _listing(
    repository: Repository, source: str | None, wanted: Wanted | None, now: datetime, everything: bool
) -> Listing:
    stored = catalogue(repository, source)
    decisions = [one for one in _judged(stored, repository, now) if _is_wanted(one.set.key, wanted)]
    shown = newest_first(decisions) if everything else newest_of_each(decisions)
    return Listing(
        store=repository.store.name,
        address=repository.store.address,
        decisions=decisions,
        shown=with_sizes(repository, shown),
        incomplete=[one for one in stored.incomplete if _is_wanted(one.key, wanted)],
        remarks=remarks(stored.verdicts),
        unsealed=stored.unsealed,
        source=source,
        empty=not (stored.sets or stored.incomplete or stored.verdicts or stored.unsealed),
    )


def _is_wanted(key: SetKey, wanted: Wanted | None) -> bool:
    return wanted in (None, (key.kind, key.name))


def _judged(stored: Catalogue, repository: Repository, now: datetime) -> Iterator[Decision]:
    """Why each set stays or may go, judged source by source as pruning would."""
    for source in dict.fromkeys(one.key.source for one in stored.sets):
        yield from plan_of(stored.of(source), source, repository.retention, now, False).decisions


def _document(listing: Listing, now: datetime) -> dict[str, Any]:
    return {
        "store": listing.store,
        "address": listing.address,
        "sets": [_set(one, listing.remark(one.set), now) for one in listing.shown],
        "incomplete": [str(one.key) for one in listing.incomplete],
    }


def _set(decision: Decision, remark: str, now: datetime) -> dict[str, Any]:
    one = decision.set
    return {
        "key": str(one.key),
        "source": one.key.source,
        "kind": one.key.kind,
        "name": one.key.name,
        "set_id": one.key.set_id,
        "created": one.created.isoformat(),
        "age_seconds": round((now - one.created).total_seconds()),
        "state": one.state,
        "remark": remark or None,
        "bytes": one.size,
        "files": one.files,
        "keep": decision.keep,
        "reasons": decision.reasons,
    }
