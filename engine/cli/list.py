"""platformctl list"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click

from engine.cli.invocation import Invocation, operation, source_option, store_option
from engine.cli.kind_options import OneOfAKind, Wanted, of_kinds, one_of
from engine.cli.outcome import Outcome, Problem
from engine.errors import ConfigurationError
from engine.reports.listing import Listing, list_report, unknown
from engine.reports.stored_sets import listing_of
from engine.repository.retention import Decision


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
    listings = [listing_of(invocation.repository(name), source, now, thing, everything) for name in names]
    why = unknown(listings, thing)
    problem = Problem(ConfigurationError.exit_code, ConfigurationError.__name__, why) if why else None
    if invocation.as_json:
        return Outcome("list", {"stores": [_document(listing, now) for listing in listings]}, problem=problem)
    parts = None if source or thing else invocation.settings.platforms_of_sources
    return Outcome("list", report=list_report(listings, now, parts), problem=problem)


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
