"""Clear away what never became a set: files without a manifest."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from engine.repository.catalogue import catalogue
from engine.repository.keys import SetKey
from engine.repository.parsing import parse_set_key
from engine.repository.repository import Repository

ABANDONED = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class SweepResult:
    """Remains that were removed. `retained` keys are held by an object lock."""

    deleted: tuple[SetKey, ...]
    retained: tuple[str, ...]
    bytes_freed: int


def sweep_incomplete(
    repository: Repository,
    source: str,
    now: datetime,
    older_than: timedelta | None = ABANDONED,
    keep: Collection[str] = (),
    progress: Callable[[str], None] | None = None,
) -> SweepResult:
    """Remove a source's files that have no manifest; those of the set ids in `keep` stay.

    `older_than` None means all the others, however young: only for a caller who holds the source's
    lock, so that nobody is writing them.

    Raises:
        PlatformOpsError: the store cannot be listed or refuses a deletion.
    """
    store = repository.store
    remains = [one for one in catalogue(repository, source).incomplete if one.key.set_id not in keep]
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
    return SweepResult(tuple(deleted), tuple(retained), freed)
