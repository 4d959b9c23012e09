"""What a list of a store's sets is made of: every set judged as pruning would, and those that people can take in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from engine.reports.listing import Listing, newest_first, newest_of_each
from engine.reports.overview import kept_in
from engine.repository.catalogue import catalogue
from engine.repository.keys import SetKey
from engine.repository.prune_plan import PrunePlan, plan_of, with_sizes
from engine.repository.repository import Repository
from engine.repository.retention import Decision
from engine.repository.stored import Catalogue
from engine.repository.verdicts import remarks
from engine.words.wording import called_alike


def listing_of(
    repository: Repository,
    source: str | None,
    now: datetime,
    wanted: tuple[str, str] | None = None,
    everything: bool = False,
) -> Listing:
    """The sets of a source (None: of all), or of one thing of it (a kind and a name). Nothing but names is read. Sets that
    are only parts of others are counted, and shown where they or `everything` are asked for.

    Raises:
        PlatformOpsError: the store cannot be listed.
    """
    stored = catalogue(repository, source)
    decisions = [one for one in _judged(stored, repository, now) if _is_wanted(one.set.key, wanted)]
    parts = {kind for kind, policy in repository.retention.items() if policy.needed_by and wanted is None}
    whole = [one for one in decisions if one.set.key.kind not in parts]
    shown = newest_first(decisions) if everything else newest_of_each(whole)
    return Listing(
        store=repository.store.name,
        address=repository.store.address,
        decisions=decisions,
        shown=with_sizes(repository, shown),
        incomplete=[one for one in stored.incomplete if _is_wanted(one.key, wanted)],
        remarks=remarks(stored.verdicts),
        unsealed=stored.unsealed,
        source=source,
        kept=kept_in(repository.store.name, stored, now, parts),
        empty=not (stored.sets or stored.incomplete or stored.verdicts or stored.unsealed),
    )


def _is_wanted(key: SetKey, wanted: tuple[str, str] | None) -> bool:
    return wanted is None or (wanted[0] == key.kind and called_alike(wanted[1], key.name))


def _judged(stored: Catalogue, repository: Repository, now: datetime) -> Iterator[Decision]:
    """Why each set stays or may go, judged source by source as pruning would."""
    for source in dict.fromkeys(one.key.source for one in stored.sets):
        yield from plan_of(stored.of(source), source, repository.retention, now, False).decisions


def with_shown_sizes(repository: Repository, plan: PrunePlan) -> PrunePlan:
    """The same plan, with a size for each set that its report shows as kept; what goes has one already.

    Raises:
        PlatformOpsError: the store cannot be listed.
    """
    shown = {
        one.set.key: one for one in with_sizes(repository, newest_of_each(one for one in plan.decisions if one.keep))
    }
    return replace(plan, decisions=tuple(shown.get(one.set.key, one) for one in plan.decisions))
