"""Prune: let go what retention no longer wants, by exact keys.

A set goes manifest first, so that it stops existing at once; then its files. A run killed in between
leaves files without a manifest: an incomplete set, which `sweep_incomplete` removes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from engine.config.settings import Retention
from engine.repository.catalogue import catalogue, contents
from engine.repository.keys import MANIFEST, SetKey
from engine.repository.lease import lease, leased_sets
from engine.repository.needs import needs_in
from engine.repository.prune_plan import PrunePlan, plan_of
from engine.repository.repository import Repository
from engine.repository.stored import StoredSet
from engine.repository.verdicts import expired
from engine.stores.base import Store

BATCH = 250
"""Sets whose manifests go before their files do: what a kill can leave half-deleted."""


@dataclass(frozen=True, slots=True)
class PruneResult:
    """What went. `retained` keys are held by an object lock; `spared` sets were planned to go but the
    store had changed since, so that they are wanted again or already gone, or a drill reads them."""

    deleted: tuple[SetKey, ...]
    retained: tuple[str, ...]
    spared: tuple[SetKey, ...]
    bytes_freed: int
    verdicts_deleted: int
    doubt: str | None


def prune(
    repository: Repository,
    plan: PrunePlan,
    label: str = "",
    progress: Callable[[str], None] | None = None,
    *,
    spare: Collection[SetKey] = (),
    wait_seconds: float = 0.0,
) -> PruneResult:
    """Do what a plan says, under the store's lease; the set of a drill that runs is spared, and those in `spare`.

    `label` tells others who prunes. `wait_seconds`: how long to wait for another pruning to end.

    Raises:
        LockedByAnother: another pruning of this source runs in this store.
        TransientFailure: the lease was lost; what has gone until then is gone.
        PlatformOpsError: see `apply_prune`.
    """
    with lease(repository.store, plan.source, "prune", label, wait_seconds=wait_seconds) as held:
        spared = leased_sets(repository.store, plan.source).union(spare)
        return apply_prune(repository, plan, progress, spare=spared, before_each=held.check)


def apply_prune(
    repository: Repository,
    plan: PrunePlan,
    progress: Callable[[str], None] | None = None,
    *,
    spare: Collection[SetKey] = (),
    before_each: Callable[[], None] = lambda: None,
) -> PruneResult:
    """Do what a plan says, as far as it still holds; sets in `spare` stay, and what those need.

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

    stored = catalogue(repository, plan.source, seen=remember)
    retention = {kind: Retention.model_validate(policy) for kind, policy in plan.policy.items()}
    needs = needs_in(repository)
    fresh = plan_of(stored, plan.source, retention, plan.now, plan.allow_clock_jump, needs)
    whole = {policy.needed_by for policy in retention.values()}
    held = [one.key for one in stored.sets if one.key in spare and one.key.kind in whole]
    spared = {*spare, *(needed for key in held for needed in needs(key))}
    going = [one for one in fresh.pruned if one.key in planned and one.key not in spared]
    going = [_with_files(repository, one, files) for one in going]
    deleted, retained = _delete_sets(repository.store, going, files, progress, before_each)
    living = {one.key for one in stored.sets}.difference(one.key for one in deleted)
    before_each()
    old = repository.store.delete(map(str, () if fresh.doubt else expired(stored.verdicts, living, plan.now)))
    return PruneResult(
        deleted=tuple(one.key for one in deleted),
        retained=(*retained, *old.retained),
        spared=tuple(sorted(planned.difference(one.key for one in going), key=str)),
        bytes_freed=sum(one.size or 0 for one in deleted),
        verdicts_deleted=len(old.deleted),
        doubt=fresh.doubt,
    )


def _with_files(repository: Repository, one: StoredSet, files: dict[SetKey, tuple[str, ...]]) -> StoredSet:
    """The set with its size, and its files in `files`, where the listing of all sets did not tell them."""
    if one.size is not None and one.key in files:
        return one
    found = contents(repository, one.key)
    files[one.key] = tuple(map(sys.intern, found))
    return one._replace(size=sum(found.values()), files=len(found))


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
