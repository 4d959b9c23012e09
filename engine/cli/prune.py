"""platformctl prune"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click

from engine.cli.invocation import Invocation, operation, server_option, store_option
from engine.cli.outcome import Outcome
from engine.reports.prune import prune_report
from engine.sets.prune import PrunePlan, PruneReport, plan_prune, prune
from engine.sets.retention import Decision
from engine.sets.target import Target


@click.command(
    help="""Show which sets retention lets go, and why each other one stays; with --delete, delete them.

    Every server of the configuration is judged in each store it writes to. Nothing goes while the
    clock is in doubt (it went back, or nothing was stored for more than a week) unless --even-so says so.

    \b
    Example:
      platformctl prune
      platformctl prune --server platform --delete
    """
)
@store_option("Only in this store.")
@server_option("Only sets of this server.")
@click.option("--delete", is_flag=True, help="Delete what may go. Without it, nothing is deleted.")
@click.option("--even-so", is_flag=True, help="Judge although the clock is in doubt.")
@operation
def command(
    invocation: Invocation, store: str | None, server: str | None, delete: bool, even_so: bool
) -> Outcome:
    judged: list[tuple[PrunePlan, PruneReport | None]] = []
    for target, name in _places(invocation, store, server):
        invocation.progress(f"judge the sets of {name} in {target.store.name}")
        now, key = datetime.now(UTC), target.digest_key
        plan = plan_prune(target.store, name, target.retention, now, even_so, sizes=True, digest_key=key)
        done = (
            prune(target.store, plan, "platformctl prune", invocation.progress, digest_key=key)
            if delete
            else None
        )
        judged.append((plan, done))
    if invocation.as_json:
        places = [_document(plan, done) for plan, done in judged]
        return Outcome("prune", {"deleted": delete, "places": places})
    return Outcome("prune", report=prune_report(judged))


def _places(invocation: Invocation, store: str | None, server: str | None) -> Iterator[tuple[Target, str]]:
    """Each store with each server whose sets are to be judged in it."""
    if store is not None:
        target = invocation.target(store)
        names = (
            [server]
            if server
            else [name for name in invocation.settings.servers if store in invocation.stores(None, name)]
        )
        yield from ((target, name) for name in names)
        return
    for name in [server] if server else invocation.settings.servers:
        yield from ((invocation.target(own), name) for own in invocation.stores(None, name))


def _document(plan: PrunePlan, done: PruneReport | None) -> dict[str, Any]:
    return {
        "server": plan.server,
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
