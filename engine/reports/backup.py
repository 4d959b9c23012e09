"""The report of a backup: what was stored, how big, how long, its proof, what is missing, what was let go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine.progress import counted, readable_bytes, readable_seconds
from engine.reports.prune import deleted_table, freed
from engine.reports.report import Report, Table, foremost
from engine.reports.standing import DONE, Standing, going_step

if TYPE_CHECKING:
    from engine.errors import PlatformOpsError
    from engine.postgres.backup import ClusterBackup, DatabaseBackup
    from engine.postgres.survey import DatabaseFound
    from engine.sets.copies import CopyRun
    from engine.sets.prune import PrunePlan, PruneReport

_SHOWN = 200


@dataclass
class BackupOutcome:
    """What one run of a backup has come to. `seconds` is the whole run's until now.

    `found` are the server's databases and `databases` those that are stored. `cluster` is None when no cluster
    set was published; `failures` are errors by database.
    `plan` and `pruned` are what retention decided and did; `prune_failure` says why it did nothing.
    `copies` is what was done for each further store. `unknown` are excluded databases that do not exist.
    """

    server: str
    store: str
    encrypted: bool
    databases: list[DatabaseBackup] = field(default_factory=list)
    cluster: ClusterBackup | None = None
    found: Sequence[DatabaseFound] = ()
    seconds: float = 0.0
    failures: list[tuple[str, PlatformOpsError]] = field(default_factory=list)
    plan: PrunePlan | None = None
    pruned: PruneReport | None = None
    prune_failure: str = ""
    copies: list[CopyRun] = field(default_factory=list)
    unknown: Sequence[str] = ()

    def drop(self, database: DatabaseFound) -> None:
        """Somebody dropped the database since it was listed."""
        self.found = tuple(one.as_dropped() if one == database else one for one in self.found)

    @property
    def stored_bytes(self) -> int:
        """Everything this run added to the store."""
        own = sum(one.set_bytes for one in self.databases)
        return own + (self.cluster.bytes if self.cluster else 0)

    @property
    def missing(self) -> tuple[str, ...]:
        """What no set of this run holds, in words."""
        if self.cluster is not None:
            return self.cluster.missing
        return tuple(what for one in self.databases for what in one.missing)


def backup_report(outcome: BackupOutcome, standing: Standing = DONE) -> Report:
    """What a backup did, or did so far; for the command line and for the flow's artifact."""
    return Report(
        title=f"Backup of {outcome.server}",
        sentence=_sentence(outcome, standing),
        facts=_facts(outcome),
        tables=(
            _database_table(outcome),
            Table(
                "Failed", ("database", "why"), tuple((name, str(error)) for name, error in outcome.failures)
            ),
            Table("Not in the backup", ("what",), tuple((what,) for what in outcome.missing[:_SHOWN])),
            _copy_table(outcome),
            *_pruned(outcome),
        ),
        next_steps=(going_step(),) if standing.going else _next_steps(outcome, standing),
    )


def _sentence(outcome: BackupOutcome, standing: Standing) -> str:
    done, failed = outcome.databases, outcome.failures
    rows = sum(one.rows for one in done)
    wanted = None if standing == DONE else sum(not one.skipped for one in outcome.found)
    said = (
        f"{counted(len(done), 'database', wanted)} with {counted(rows, 'row')} stored in {outcome.store} "
        f"({readable_bytes(outcome.stored_bytes)}, {readable_seconds(outcome.seconds)})"
    )
    if standing.going:
        return f"Going on: {said}{f', {len(failed):,} failed' if failed else ''}."
    if failed:
        return f"{counted(len(failed), 'database')} failed; {said}, and no cluster set was published."
    if standing.problem:
        cluster = "the cluster set too" if outcome.cluster else "no cluster set"
        return f"Failed: {standing.problem} What is stored all the same: {said}, {cluster}."
    kind = (
        "as one cluster set and one set each" if outcome.cluster else "as one set each, without a cluster set"
    )
    return f"{said}, {kind}.{_dropped(outcome)}"


def _dropped(outcome: BackupOutcome) -> str:
    names = [repr(one.name) for one in outcome.found if one.dropped]
    return f" Dropped while the backup ran, and in no set of it: {', '.join(names)}." if names else ""


def _facts(outcome: BackupOutcome) -> tuple[tuple[str, str], ...]:
    read = sum(one.dump_bytes for one in outcome.databases)
    held = max((one.snapshot_seconds for one in outcome.databases), default=0.0)
    stored = (
        f"{readable_bytes(outcome.stored_bytes)}, {'encrypted' if outcome.encrypted else 'not encrypted'}"
    )
    cluster = (("cluster set", outcome.cluster.set_key),) if outcome.cluster else ()
    return (
        *cluster,
        ("stored", stored),
        ("read from the server", readable_bytes(read)),
        ("longest snapshot held", readable_seconds(held)),
    )


def _database_table(outcome: BackupOutcome) -> Table:
    shown = foremost(outcome.databases, lambda one: one.seconds, lambda one: one.dump_bytes)
    left = len(outcome.databases) - len(shown)
    return Table(
        "Databases",
        ("database", "tables", "rows", "read", "stored", "time", "set"),
        tuple(
            (
                one.database,
                f"{one.tables:,}",
                f"{one.rows:,}",
                readable_bytes(one.dump_bytes),
                readable_bytes(one.set_bytes),
                readable_seconds(one.seconds),
                one.set_key.rpartition("/")[2],
            )
            for one in shown
        ),
        right=("tables", "rows", "read", "stored", "time"),
        more=f"and {counted(left, 'more database')}; those that took longest and the largest are shown"
        if left
        else "",
    )


def _copy_table(outcome: BackupOutcome) -> Table:
    return Table(
        "Further stores",
        ("store", "sets copied", "sent", "still missing", "pruned there"),
        tuple(
            (
                run.store,
                f"{sum(report.files > 0 for report in run.copied):,}",
                readable_bytes(run.bytes),
                "not known" if run.failure else f"{len(run.lacking):,}",
                f"{len(run.pruned.deleted) if run.pruned else 0:,}",
            )
            for run in outcome.copies
        ),
        right=("sets copied", "sent", "still missing", "pruned there"),
    )


def _pruned(outcome: BackupOutcome) -> tuple[Table, ...]:
    if outcome.plan is None or outcome.pruned is None:
        return ()
    return (deleted_table(outcome.plan, outcome.pruned),)


def _next_steps(outcome: BackupOutcome, standing: Standing) -> tuple[str, ...]:
    steps = [
        _retention(outcome, standing.problem),
        *(run.problem for run in outcome.copies),
        *_configuration(outcome),
    ]
    if outcome.failures or standing.problem:
        steps.append("Correct what failed and run the backup again; the sets that are listed here are whole.")
    if any(one.dropped for one in outcome.found):
        steps.append(
            "A database was dropped while the backup ran. If that was a mistake, an earlier set brings it back "
            "(platformctl restore --database NAME)."
        )
    if outcome.missing:
        steps.append(
            "Restored elsewhere, what is listed as not in the backup has to come from somewhere else."
        )
    if outcome.databases:
        steps.append(
            "The sets are recorded: stored with their proof. A drill (platformctl drill, restore-drill) proves them."
        )
    return tuple(step for step in steps if step)


def _configuration(outcome: BackupOutcome) -> Iterator[str]:
    if outcome.unknown:
        yield (
            f"exclude names {', '.join(map(repr, outcome.unknown))}, which {outcome.server} does not have: correct "
            f"[servers.{outcome.server}], or what you mean to leave out is backed up under another name."
        )
    if outcome.databases and not outcome.encrypted:
        yield (
            f"The store {outcome.store} is not encrypted: who can read it reads all data, and in 000-globals the roles' "
            f"password verifiers; give [stores.{outcome.store}] recipients (platformctl keygen)."
        )


def _retention(outcome: BackupOutcome, problem: str) -> str:
    if outcome.prune_failure:
        return f"Retention could not be applied: {outcome.prune_failure}"
    if outcome.plan is None:
        why = (
            "a backup that failed lets nothing go"
            if outcome.failures or problem
            else "retention was not asked for"
        )
        return f"Nothing was pruned: {why}."
    if outcome.plan.doubt:
        return f"Nothing was pruned: {outcome.plan.doubt}."
    if outcome.pruned is None or not outcome.pruned.deleted:
        return f"Nothing was pruned; {_staying(len(outcome.plan.kept))}"
    return f"{freed(outcome.pruned)} {_staying(len(outcome.plan.kept))}"


def _staying(sets: int) -> str:
    return f"{counted(sets, 'set')} {'stays' if sets == 1 else 'stay'}."
