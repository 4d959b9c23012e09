"""platformctl list"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import click

from engine.cli.invocation import Invocation, operation, server_option, store_option
from engine.cli.outcome import Outcome
from engine.reports.listing import Listing, list_report
from engine.sets.catalogue import Catalogue, StoredSet, catalogue
from engine.sets.keys import SetKey
from engine.sets.prune import plan_of
from engine.sets.target import Target


@click.command(
    help="""List the stored sets, newest first.

    recorded: stored with its proof. verified: its bytes were read again and are equal. proven: a
    drill restored it and found it equal. failed: do not rely on it. Nothing but names is read.

    \b
    Example:
      platformctl list --server platform --database kohub
    """
)
@store_option("Only this store; else all of them, or those of --server.")
@server_option("Only sets of this server.")
@click.option("--database", metavar="NAME", help="Only sets of this database.")
@operation
def command(invocation: Invocation, store: str | None, server: str | None, database: str | None) -> Outcome:
    now = datetime.now(UTC)
    targets = [
        invocation.target(name) for name in invocation.stores(store, _known(invocation, server, store))
    ]
    listings = [_listing(target, server, database, now) for target in targets]
    result = {"stores": [_document(listing, now) for listing in listings]}
    return Outcome("list", result, list_report(listings, now))


def _known(invocation: Invocation, server: str | None, store: str | None) -> str | None:
    """With --store, also a server that is in the configuration no longer may be listed."""
    return None if store else server


def _listing(target: Target, server: str | None, database: str | None, now: datetime) -> Listing:
    stored = catalogue(target.store, server, sizes=True)
    wanted = [one for one in stored.sets if database is None or one.key.database == database]
    return Listing(
        store=target.store.name,
        address=target.store.address,
        sets=sorted(wanted, key=lambda one: (one.created, str(one.key)), reverse=True),
        incomplete=[one for one in stored.incomplete if database is None or one.key.database == database],
        reasons=_reasons(stored, target, now),
    )


def _reasons(stored: Catalogue, target: Target, now: datetime) -> dict[SetKey, tuple[bool, tuple[str, ...]]]:
    """Why each set stays or may go, judged server by server as pruning would."""
    reasons = {}
    for server in {one.key.server for one in stored.sets}:
        own = replace(
            stored,
            sets=tuple(one for one in stored.sets if one.key.server == server),
            incomplete=tuple(one for one in stored.incomplete if one.key.server == server),
            verdicts=tuple(one for one in stored.verdicts if one.server == server),
        )
        for decision in plan_of(own, server, target.retention, now, False).decisions:
            reasons[decision.set.key] = (decision.keep, decision.reasons)
    return reasons


def _document(listing: Listing, now: datetime) -> dict[str, Any]:
    return {
        "store": listing.store,
        "address": listing.address,
        "sets": [_set(one, listing, now) for one in listing.sets],
        "incomplete": [str(one.key) for one in listing.incomplete],
    }


def _set(one: StoredSet, listing: Listing, now: datetime) -> dict[str, Any]:
    keep, reasons = listing.reasons[one.key]
    return {
        "key": str(one.key),
        "server": one.key.server,
        "database": one.key.database,
        "set_id": one.key.set_id,
        "created": one.created.isoformat(),
        "age_seconds": round((now - one.created).total_seconds()),
        "state": one.state,
        "bytes": one.size,
        "files": one.files,
        "keep": keep,
        "reasons": reasons,
    }
