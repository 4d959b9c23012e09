"""platformctl list"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click

from engine.cli.invocation import Invocation, operation, server_option, store_option
from engine.cli.outcome import Outcome
from engine.reports.listing import Listing, list_report, newest_first, newest_of_each
from engine.sets.catalogue import Catalogue
from engine.sets.prune import plan_of, with_sizes
from engine.sets.retention import Decision
from engine.sets.target import Target
from engine.sets.verdicts import remarks


@click.command(
    help="""List the stored sets, newest first.

    recorded: stored with its proof. verified: its bytes were read again and are equal. proven: a
    drill restored it and found it equal (incomplete: and something is not in the set, which `show` names).
    sampled: a drill compared only some rows. failed: do not rely on it. Nothing but names is read.
    Of many sets, the newest of each database are shown; --all and --json show every one.

    \b
    Example:
      platformctl list --server platform --database kohub
    """
)
@store_option("Only this store; else all of them, or those of --server.")
@server_option("Only sets of this server.")
@click.option("--database", metavar="NAME", help="Only sets of this database.")
@click.option("--all", "everything", is_flag=True, help="Every set, however many there are.")
@operation
def command(
    invocation: Invocation, store: str | None, server: str | None, database: str | None, everything: bool
) -> Outcome:
    now = datetime.now(UTC)
    # With --store, a server that is in the configuration no longer may be listed too.
    names = invocation.stores(store, None if store else server)
    everything |= invocation.as_json
    listings = [_listing(invocation.target(name), server, database, now, everything) for name in names]
    if invocation.as_json:
        return Outcome("list", {"stores": [_document(listing, now) for listing in listings]})
    return Outcome("list", report=list_report(listings, now, database))


def _listing(
    target: Target, server: str | None, database: str | None, now: datetime, everything: bool
) -> Listing:
    stored = target.catalogue(server)
    decisions = [
        one for one in _judged(stored, target, now) if database is None or one.set.key.database == database
    ]
    shown = newest_first(decisions) if everything else newest_of_each(decisions)
    return Listing(
        store=target.store.name,
        address=target.store.address,
        decisions=decisions,
        shown=with_sizes(target.store, shown),
        incomplete=[one for one in stored.incomplete if database is None or one.key.database == database],
        remarks=remarks(stored.verdicts),
        unsealed=stored.unsealed,
        server=server,
        empty=not (stored.sets or stored.incomplete or stored.verdicts or stored.unsealed),
    )


def _judged(stored: Catalogue, target: Target, now: datetime) -> Iterator[Decision]:
    """Why each set stays or may go, judged server by server as pruning would."""
    for server in dict.fromkeys(one.key.server for one in stored.sets):
        yield from plan_of(stored.of(server), server, target.retention, now, False).decisions


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
        "server": one.key.server,
        "database": one.key.database,
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
