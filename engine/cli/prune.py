"""platformctl prune"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click

from engine.cli.invocation import Invocation, operation, source_option, store_option
from engine.cli.outcome import Outcome
from engine.reports.prune import prune_report
from engine.reports.stored_sets import with_shown_sizes
from engine.repository.prune import PruneResult, prune
from engine.repository.prune_plan import PrunePlan, plan_prune
from engine.repository.repository import Repository
from engine.repository.retention import Decision


@click.command(
    help="""Show which sets retention lets go, and why each other one stays; with --delete, delete them.

    Every source of the configuration is judged in each store it writes to. Nothing goes while the
    clock is in doubt (it went back, or nothing was stored for more than a week) unless --even-so says so.

    \b
    Example:
      platformctl prune
      platformctl prune --source platform --delete
    """
)
@store_option("Only in this store.")
@source_option("Only sets of this source.")
@click.option("--delete", is_flag=True, help="Delete what may go. Without it, nothing is deleted.")
@click.option("--even-so", is_flag=True, help="Judge although the clock is in doubt.")
@operation
def command(invocation: Invocation, store: str | None, source: str | None, delete: bool, even_so: bool) -> Outcome:
    judged: list[tuple[PrunePlan, PruneResult | None]] = []
    for repository, name in _repositories(invocation, store, source):
        invocation.progress(f"judge the sets of {name} in {repository.store.name}")
        plan = plan_prune(repository, name, datetime.now(UTC), even_so, sizes=True)
        plan = with_shown_sizes(repository, plan)
        done = prune(repository, plan, "platformctl prune", invocation.progress) if delete else None
        judged.append((plan, done))
    if invocation.as_json:
        places = [_document(plan, done) for plan, done in judged]
        return Outcome("prune", {"deleted": delete, "places": places})
    return Outcome("prune", report=prune_report(judged))


def _repositories(invocation: Invocation, store: str | None, source: str | None) -> Iterator[tuple[Repository, str]]:
    """Each store with each source whose sets are to be judged in it."""
    if store is not None:
        repository = invocation.repository(store)
        names = (
            [source]
            if source
            else [name for name in invocation.settings.sources if store in invocation.stores(None, name)]
        )
        yield from ((repository, name) for name in names)
        return
    for name in [source] if source else invocation.settings.sources:
        yield from ((invocation.repository(own), name) for own in invocation.stores(None, name))


def _document(plan: PrunePlan, done: PruneResult | None) -> dict[str, Any]:
    return {
        "source": plan.source,
        "address": plan.address,
        "doubt": done.doubt if done else plan.doubt,
        "bytes_to_free": plan.bytes_to_free,
        "go": [_decision(one) for one in plan.decisions if not one.keep],
        "stay": [_decision(one) for one in plan.decisions if one.keep],
        "done": done
        and {
            "deleted": [str(key) for key in done.deleted],
            "spared": [str(key) for key in done.spared],
            "retained": list(done.retained),
            "bytes_freed": done.bytes_freed,
            "verdicts_deleted": done.verdicts_deleted,
        },
    }


def _decision(one: Decision) -> dict[str, Any]:
    return {"key": str(one.set.key), "state": one.set.state, "bytes": one.set.size, "reasons": one.reasons}
