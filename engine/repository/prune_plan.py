"""What retention would let go, and why each other set stays. Deletes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import tee
from typing import Any

from engine.config.settings import Retention
from engine.progress import counted
from engine.repository.catalogue import catalogue, measured
from engine.repository.needs import Needs, needs_in
from engine.repository.repository import Repository
from engine.repository.retention import Decision, clock_doubt, decide
from engine.repository.stored import Catalogue, StoredSet
from engine.repository.verdicts import expired


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What would go and why. `doubt` says why nothing may go; `policy` is the retention of each kind, as plain data."""

    source: str
    address: str
    now: datetime
    policy: dict[str, dict[str, Any]]
    allow_clock_jump: bool
    doubt: str | None
    decisions: tuple[Decision, ...]
    expired_verdicts: int

    @property
    def pruned(self) -> tuple[StoredSet, ...]:
        return tuple(decision.set for decision in self.decisions if not decision.keep)

    @property
    def kept(self) -> tuple[StoredSet, ...]:
        return tuple(decision.set for decision in self.decisions if decision.keep)

    @property
    def bytes_to_free(self) -> int | None:
        """None when the plan was made without sizes, and the store does not tell them with the keys."""
        sizes = [one.size for one in self.pruned]
        return None if None in sizes else sum(size or 0 for size in sizes)


def plan_prune(
    repository: Repository, source: str, now: datetime, allow_clock_jump: bool = False, *, sizes: bool = False
) -> PrunePlan:
    """Judge every set of a source by the repository's own policies. `sizes` asks for the size of each that would go.

    Raises:
        PlatformOpsError: the store cannot be listed.
    """
    stored = catalogue(repository, source)
    plan = plan_of(stored, source, repository.retention, now, allow_clock_jump, needs_in(repository))
    if not sizes:
        return plan
    going = iter(with_sizes(repository, [one for one in plan.decisions if not one.keep]))
    return replace(plan, decisions=tuple(one if one.keep else next(going) for one in plan.decisions))


def with_sizes(repository: Repository, decisions: Iterable[Decision]) -> tuple[Decision, ...]:
    """The same decisions, each set with its size; see `measured`."""
    known, unknown = tee(decisions)
    sets = measured(repository, (one.set for one in unknown))
    return tuple(one._replace(set=found) for one, found in zip(known, sets, strict=True))


def plan_of(
    stored: Catalogue,
    source: str,
    retention: Mapping[str, Retention],
    now: datetime,
    allow_clock_jump: bool,
    needs: Needs | None = None,
) -> PrunePlan:
    """Judge every set of a source that has been listed already: `stored` is of this source alone.

    Sets of a kind that has no policy here (a newer version's, or one that was taken out) stay. `needs` None: nobody
    looks which sets others need, so those all stay.
    """
    others = [one.created for one in stored.incomplete] + [verdict.at for verdict in stored.verdicts]
    begun = (*(one.created for one in stored.sets), *(one.at for one in stored.verdicts if one.check == "source"))
    doubt = None if allow_clock_jump else clock_doubt(begun, now, others)
    decisions: list[Decision] = []
    needed = {kind for kind, policy in retention.items() if policy.needed_by}
    for asset, sets in stored.assets.items():
        if asset.kind in needed and not doubt:
            continue
        policy = retention.get(asset.kind)
        if doubt or policy is None:
            why = doubt or f"nothing here says how long sets of kind {asset.kind} are kept"
            decisions += [Decision(one, True, (why,)) for one in sets]
        else:  # the trail of the whole source has vouched for the clock
            decisions += decide(sets, policy, now, allow_clock_jump=True)
    if needed and not doubt:
        decisions += _needed(stored, retention, now, decisions, needs)
    return PrunePlan(
        source=source,
        address=stored.address,
        now=now,
        policy={kind: policy.model_dump(mode="json") for kind, policy in retention.items()},
        allow_clock_jump=allow_clock_jump,
        doubt=doubt,
        decisions=tuple(decisions),
        expired_verdicts=0 if doubt else len(expired(stored.verdicts, (one.key for one in stored.sets), now)),
    )


def _needed(
    stored: Catalogue,
    retention: Mapping[str, Retention],
    now: datetime,
    decided: Sequence[Decision],
    needs: Needs | None,
) -> Iterator[Decision]:
    """Judge the sets that stay only while others need them."""
    for kind, policy in retention.items():
        sets = [one for one in stored.sets if policy.needed_by and one.key.kind == kind]
        if not sets:
            continue
        staying = [one.set.key for one in decided if one.keep and one.set.key.kind == policy.needed_by]
        wanted = {key for each in staying for key in needs(each)} if needs else {one.key for one in sets}
        for one in sets:
            why = f"needed by a set of kind {policy.needed_by}" if one.key in wanted else ""
            if not why and one.created > now - timedelta(days=policy.days):
                why = f"younger than {counted(policy.days, 'day')}"
            yield Decision(one, bool(why), (why or f"no set of kind {policy.needed_by} that stays needs it",))
