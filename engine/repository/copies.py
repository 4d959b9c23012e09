"""Further stores: what a backup run does so that each has what the first store has.

1. Which sets a store lacks is seen from the keys alone. What one backup run could not copy, the next one does.
2. Only what the store's own retention would keep is copied to it; then that retention is applied there.
   What others need goes first, and stays while they are still to come.
3. Whatever goes wrong is told in the `CopyRun`: the first store is as it was, and its backup stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from engine.errors import PartialSuccess, PlatformOpsError
from engine.progress import Progress, silent
from engine.repository.catalogue import catalogue
from engine.repository.copying import CopyResult, copy_set
from engine.repository.keys import SetKey, source_prefix
from engine.repository.lacking import DAYS, missing
from engine.repository.lease import PATIENCE_SECONDS
from engine.repository.needs import needs_in
from engine.repository.prune import PruneResult, prune
from engine.repository.prune_plan import PrunePlan, plan_prune
from engine.repository.repository import Repository
from engine.repository.sweep import sweep_incomplete

_GIVE_UP = 3  # sets in a row that could not be copied: the store is not well tonight


@dataclass
class CopyRun:
    """What was done for one further store.

    `lacking` sets are still not there and `failures` say why, by set; `failure` is the whole sentence when
    it could not even be looked at. `retryable`: a new try may help. `plan`, `pruned` and `prune_failure`:
    its retention.
    """

    first: str
    store: str
    address: str
    copied: list[CopyResult] = field(default_factory=list)
    lacking: tuple[SetKey, ...] = ()
    failures: dict[SetKey, str] = field(default_factory=dict)
    failure: str = ""
    retryable: bool = False
    plan: PrunePlan | None = None
    pruned: PruneResult | None = None
    prune_failure: str = ""

    @property
    def bytes(self) -> int:
        """What was sent."""
        return sum(report.bytes for report in self.copied)

    @property
    def problem(self) -> str:
        """Why this store is not as it should be, as one sentence; empty when it is."""
        if self.failure:
            return self.failure
        if self.lacking:
            sets = f"{len(self.lacking)} set{'' if len(self.lacking) == 1 else 's'}"
            return (
                f"The backup is in the first store, {self.first}; the copy to {self.store} is missing {sets}, which "
                f"the next backup run copies: {next(iter(self.failures.values()))}"
            )
        if self.prune_failure:
            return f"The copy to {self.store} is whole, but retention could not be applied there: {self.prune_failure}"
        return ""


def update_copy(
    first: Repository,
    destination: Repository,
    source: str,
    now: datetime,
    label: str = "",
    progress: Progress = silent,
    *,
    apply_retention: bool = True,
    patience_seconds: float = PATIENCE_SECONDS,
) -> CopyRun:
    """Copy what a further store lacks and apply its retention. Raises nothing of ours: see `CopyRun.problem`.

    The caller holds the source's lock. `patience_seconds`: how long to wait for another pruning there.
    """
    run = CopyRun(first.store.name, destination.store.name, destination.store.address)
    try:
        copy_missing(first, destination, source, now, run, progress)
    except PlatformOpsError as error:
        return replace(run, failure=_failure(run, error), retryable=error.retryable)
    if apply_retention:
        _prune(run, first, destination, source, now, label, progress, patience_seconds)
    return run


def failed_copy(first: str, store: str, error: BaseException) -> CopyRun:
    """The run of a store that could not be opened, or whose step failed. `first`, `store`: their names."""
    run = CopyRun(first, store, "")
    failure = str(error) if isinstance(error, PartialSuccess) else _failure(run, error)
    return replace(run, failure=failure, retryable=isinstance(error, PlatformOpsError) and error.retryable)


def _failure(run: CopyRun, error: BaseException) -> str:
    return (
        f"The first store, {run.first}, has everything; the copy to {run.store} was not made, and the next backup run "
        f"makes it up: {error}"
    )


def require_copies(runs: Iterable[CopyRun]) -> None:
    """Raise what the runs have to complain of, as one sentence each.

    Raises:
        PartialSuccess: a further store missed something; `retryable` when a new try may help.
    """
    bad = [run for run in runs if run.problem]
    if bad:
        problem = PartialSuccess(" ".join(run.problem for run in bad))
        problem.retryable = any(run.retryable for run in bad)
        raise problem


def copy_missing(
    first: Repository,
    destination: Repository,
    source: str,
    now: datetime,
    run: CopyRun,
    progress: Progress = silent,
    days: int = DAYS,
) -> None:
    """Copy what the first store has since `days` days and the destination lacks, the newest first, but what others need
    before those.

    What killed copies left in the destination goes first. A set that fails does not stop the others;
    three in a row do. What was done is told in `run`.

    Raises:
        PlatformOpsError: one of the stores cannot be listed, or the destination not be cleared.
    """
    theirs = catalogue(destination, source, files=True)
    mine = catalogue(first, source, files=True)
    due = missing(mine, theirs, destination, now, days)
    destination.store.sweep(source_prefix(source))
    if theirs.incomplete:
        halves = [key.set_id for key in due]
        sweep_incomplete(destination, source, now, older_than=None, keep=halves)
    parts = {kind for kind, policy in destination.retention.items() if policy.needed_by}
    _copy_all(first, destination, sorted(due, key=lambda key: key.kind not in parts), run, progress)


def _copy_all(
    first: Repository, destination: Repository, due: Sequence[SetKey], run: CopyRun, progress: Progress
) -> None:
    lacking = dict.fromkeys(due)
    run.lacking, in_a_row = tuple(lacking), 0
    for key in due:
        try:
            run.copied.append(copy_set(first, destination, key, progress))
            del lacking[key]
            run.lacking, in_a_row = tuple(lacking), 0
        except PlatformOpsError as error:
            run.failures[key] = str(error)
            run.retryable |= error.retryable
            in_a_row += 1
        if in_a_row == _GIVE_UP:
            return


def _prune(
    run: CopyRun,
    first: Repository,
    destination: Repository,
    source: str,
    now: datetime,
    label: str,
    progress: Progress,
    patience_seconds: float,
) -> None:
    whole, needs = {policy.needed_by for policy in destination.retention.values()}, needs_in(first)
    try:
        awaited = [needed for key in run.lacking if key.kind in whole for needed in needs(key)]
        run.plan = plan_prune(destination, source, now, sizes=True)
        run.pruned = prune(destination, run.plan, label, progress, spare=awaited, wait_seconds=patience_seconds)
    except PlatformOpsError as error:
        run.prune_failure = str(error)
