"""Prune: let go what retention no longer wants, by exact keys, and clear away what never became a set.

A set goes manifest first, so that it stops existing at once; then its files. A run killed in between
leaves files without a manifest: an incomplete set, which `sweep_incomplete` removes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice, tee
from typing import Any

from engine.config.settings import StoreRetention
from engine.sets.catalogue import Catalogue, StoredSet, catalogue, contents, measured
from engine.sets.keys import MANIFEST, SetKey, parse_set_key
from engine.sets.lease import lease, leased_sets
from engine.sets.retention import Decision, clock_doubt, decide
from engine.sets.verdicts import expired
from engine.stores.base import Store

ABANDONED = timedelta(hours=24)
BATCH = 250
"""Sets whose manifests go before their files do: what a kill can leave half-deleted."""


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What would go and why. `doubt` says why nothing may go; `policy` is the retention as plain data."""

    server: str
    address: str
    now: datetime
    policy: dict[str, Any]
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


@dataclass(frozen=True, slots=True)
class PruneReport:
    """What went. `retained` keys are held by an object lock; `spared` sets were planned to go but the
    store had changed since, so that they are wanted again or already gone, or a drill reads them."""

    deleted: tuple[SetKey, ...]
    retained: tuple[str, ...]
    spared: tuple[SetKey, ...]
    bytes_freed: int
    verdicts_deleted: int
    doubt: str | None


@dataclass(frozen=True, slots=True)
class SweepReport:
    """Remains that were removed. `retained` keys are held by an object lock."""

    deleted: tuple[SetKey, ...]
    retained: tuple[str, ...]
    bytes_freed: int


def plan_prune(
    store: Store,
    server: str,
    retention: StoreRetention,
    now: datetime,
    allow_clock_jump: bool = False,
    *,
    sizes: bool = False,
    digest_key: str | None = None,
) -> PrunePlan:
    """Judge every set of a server; deletes nothing. `sizes` asks for the size of each that would go;
    `digest_key`: see `catalogue`.

    Raises:
        PlatformOpsError: the store cannot be listed.
    """
    stored = catalogue(store, server, digest_key=digest_key)
    plan = plan_of(stored, server, retention, now, allow_clock_jump)
    if not sizes:
        return plan
    going = iter(with_sizes(store, [one for one in plan.decisions if not one.keep]))
    return replace(plan, decisions=tuple(one if one.keep else next(going) for one in plan.decisions))


def with_sizes(store: Store, decisions: Iterable[Decision]) -> tuple[Decision, ...]:
    """The same decisions, each set with its size; see `measured`."""
    known, unknown = tee(decisions)
    sets = measured(store, (one.set for one in unknown))
    return tuple(one._replace(set=found) for one, found in zip(known, sets, strict=True))


def prune(
    store: Store,
    plan: PrunePlan,
    label: str = "",
    progress: Callable[[str], None] | None = None,
    *,
    wait_seconds: float = 0.0,
    digest_key: str | None = None,
) -> PruneReport:
    """Do what a plan says, under the store's lease; the set of a drill that runs is spared.

    `label` tells others who prunes. `wait_seconds`: how long to wait for another pruning to end.

    Raises:
        LockedByAnother: another pruning of this server runs in this store.
        TransientFailure: the lease was lost; what has gone until then is gone.
        PlatformOpsError: see `apply_prune`.
    """
    with lease(store, plan.server, "prune", label, wait_seconds=wait_seconds) as held:
        drilled = leased_sets(store, plan.server)
        return apply_prune(
            store, plan, progress, spare=drilled, before_each=held.check, digest_key=digest_key
        )


def apply_prune(
    store: Store,
    plan: PrunePlan,
    progress: Callable[[str], None] | None = None,
    *,
    spare: Collection[SetKey] = (),
    before_each: Callable[[], None] = lambda: None,
    digest_key: str | None = None,
) -> PruneReport:
    """Do what a plan says, as far as it still holds; sets in `spare` stay.

    The store is listed again and judged again: only what both judgements let go goes. The caller holds
    the store's lease, so that no drill reads what goes; `before_each` deletion it is asked to make sure.

    Raises:
        PlatformOpsError: the store cannot be listed or refuses a deletion.
    """
    planned = {one.key for one in plan.pruned}
    files: dict[SetKey, tuple[str, ...]] = {}

    def remember(key: SetKey, names: Sequence[str]) -> None:
        if key in planned:
            files[key] = tuple(map(sys.intern, names))  # the same few in each set

    stored = catalogue(store, plan.server, seen=remember, digest_key=digest_key)
    retention = StoreRetention.model_validate(plan.policy)
    fresh = plan_of(stored, plan.server, retention, plan.now, plan.allow_clock_jump)
    going = [one for one in fresh.pruned if one.key in planned and one.key not in spare]
    going = [_with_files(store, one, files) for one in going]
    deleted, retained = _delete_sets(store, going, files, progress, before_each)
    living = {one.key.set_id for one in stored.sets}.difference(one.key.set_id for one in deleted)
    before_each()
    old = store.delete(map(str, () if fresh.doubt else expired(stored.verdicts, living, plan.now)))
    return PruneReport(
        deleted=tuple(one.key for one in deleted),
        retained=(*retained, *old.retained),
        spared=tuple(sorted(planned.difference(one.key for one in going), key=str)),
        bytes_freed=sum(one.size or 0 for one in deleted),
        verdicts_deleted=len(old.deleted),
        doubt=fresh.doubt,
    )


def _with_files(store: Store, one: StoredSet, files: dict[SetKey, tuple[str, ...]]) -> StoredSet:
    """The set with its size, and its files in `files`, where the listing of all sets did not tell them."""
    if one.size is not None and one.key in files:
        return one
    found = contents(store, one.key)
    files[one.key] = tuple(map(sys.intern, found))
    return one._replace(size=sum(found.values()), files=len(found))


def sweep_incomplete(
    store: Store,
    server: str,
    now: datetime,
    older_than: timedelta | None = ABANDONED,
    keep: Collection[str] = (),
    progress: Callable[[str], None] | None = None,
) -> SweepReport:
    """Remove a server's files that have no manifest; those of the set ids in `keep` stay.

    `older_than` None means all the others, however young: only for a caller who holds the server's
    lock, so that nobody is writing them.

    Raises:
        PlatformOpsError: the store cannot be listed or refuses a deletion.
    """
    stored = catalogue(store, server)
    remains = [one for one in stored.incomplete if one.key.set_id not in keep]
    if older_than is not None:
        remains = [one for one in remains if now - one.created > older_than]
    deleted: list[SetKey] = []
    retained: list[str] = []
    freed = 0
    for one in remains:
        files = {stored.key: stored.size for stored in store.list(one.key.prefix)}
        if one.key.manifest in files:
            continue  # finished since it was listed
        done = store.delete(key for key in files if parse_set_key(key))
        retained += done.retained
        freed += sum(files[key] for key in done.deleted)
        if not done.retained:
            deleted.append(one.key)
            if progress:
                progress(f"swept {one.key}")
    return SweepReport(tuple(deleted), tuple(retained), freed)


def plan_of(
    stored: Catalogue, server: str, retention: StoreRetention, now: datetime, allow_clock_jump: bool
) -> PrunePlan:
    """Judge every set of a server that has been listed already: `stored` is of this server alone."""
    others = [one.created for one in stored.incomplete] + [verdict.at for verdict in stored.verdicts]
    doubt = None if allow_clock_jump else clock_doubt((one.created for one in stored.sets), now, others)
    decisions: list[Decision] = []
    for (_, database), sets in stored.scopes.items():
        policy = retention.cluster if database is None else retention.database
        if doubt:
            decisions += [Decision(one, True, (doubt,)) for one in sets]
        else:  # the trail of the whole server has vouched for the clock
            decisions += decide(sets, policy, now, allow_clock_jump=True)
    living = [one.key.set_id for one in stored.sets]
    return PrunePlan(
        server=server,
        address=stored.address,
        now=now,
        policy=retention.model_dump(mode="json"),
        allow_clock_jump=allow_clock_jump,
        doubt=doubt,
        decisions=tuple(decisions),
        expired_verdicts=0 if doubt else len(expired(stored.verdicts, living, now)),
    )


def _delete_sets(
    store: Store,
    going: Sequence[StoredSet],
    files: dict[SetKey, tuple[str, ...]],
    progress: Callable[[str], None] | None,
    before_each: Callable[[], None],
) -> tuple[list[StoredSet], list[str]]:
    """The sets that are gone, and the keys an object lock holds."""
    gone: list[StoredSet] = []
    retained: list[str] = []
    for batch in _batches(going, BATCH):
        before_each()
        manifests = store.delete(one.key.manifest for one in batch)
        held = set(manifests.retained)
        # A set whose manifest is held stays whole: without its files it would be a broken one.
        went = [one for one in batch if one.key.manifest not in held]
        rest = (one.key.prefix + name for one in went for name in files[one.key] if name != MANIFEST)
        retained += [*manifests.retained, *store.delete(rest).retained]
        gone += went
        if progress:
            progress(f"pruned {len(gone)} of {len(going)} sets")
    return gone, retained


def _batches(items: Iterable[StoredSet], size: int) -> Iterator[list[StoredSet]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
