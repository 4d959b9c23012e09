"""The report of a backup: what was stored, how big, how long, its proof, what is missing, what was let go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.progress import counted, readable_bytes, readable_seconds
from engine.reports.prune import deleted_table, freed
from engine.reports.report import Report, Table, foremost

if TYPE_CHECKING:
    from engine.postgres.backup import ClusterBackup, DatabaseBackup
    from engine.postgres.survey import DatabaseFound
    from engine.sets.copies import CopyRun
    from engine.sets.prune import PrunePlan, PruneReport

_SHOWN = 200


@dataclass(frozen=True)
class BackupOutcome:
    """One run of a backup. `seconds` is the whole run's.

    `cluster` is None when no cluster set was published; `failures` are sentences by database.
    `plan` and `pruned` are what retention decided and did; `prune_failure` says why it did nothing.
    `copies` is what was done for each further store. `unknown` are excluded databases that do not exist.
    """

    server: str
    store: str
    encrypted: bool
    databases: Sequence[DatabaseBackup]
    cluster: ClusterBackup | None
    found: Sequence[DatabaseFound]
    seconds: float
    failures: Sequence[tuple[str, str]] = ()
    plan: PrunePlan | None = None
    pruned: PruneReport | None = None
    prune_failure: str = ""
    copies: Sequence[CopyRun] = ()
    unknown: Sequence[str] = ()

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


def backup_report(outcome: BackupOutcome) -> Report:
    """What a backup did; for the command line and for the flow's artifact."""
    return Report(
        title=f"Backup of {outcome.server}",
        sentence=_sentence(outcome),
        facts=_facts(outcome),
        tables=(
            _database_table(outcome),
            Table("Failed", ("database", "why"), tuple(outcome.failures)),
            Table("Not in the backup", ("what",), tuple((what,) for what in outcome.missing[:_SHOWN])),
            _copy_table(outcome),
            *_pruned(outcome),
        ),
        next_steps=_next_steps(outcome),
    )


def _sentence(outcome: BackupOutcome) -> str:
    done, failed = outcome.databases, outcome.failures
    rows = sum(one.rows for one in done)
    said = (
        f"{counted(len(done), 'database')} with {counted(rows, 'row')} stored in {outcome.store} "
        f"({readable_bytes(outcome.stored_bytes)}, {readable_seconds(outcome.seconds)})"
    )
    if failed:
        return f"{counted(len(failed), 'database')} failed; {said}, and no cluster set was published."
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


def _next_steps(outcome: BackupOutcome) -> tuple[str, ...]:
    steps = [_retention(outcome), *(run.problem for run in outcome.copies), *_configuration(outcome)]
    if outcome.failures:
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


def _retention(outcome: BackupOutcome) -> str:
    if outcome.prune_failure:
        return f"Retention could not be applied: {outcome.prune_failure}"
    if outcome.plan is None:
        return "Nothing was pruned: retention was not asked for."
    if outcome.plan.doubt:
        return f"Nothing was pruned: {outcome.plan.doubt}."
    if outcome.pruned is None or not outcome.pruned.deleted:
        return f"Nothing was pruned; {counted(len(outcome.plan.kept), 'set')} stay."
    return f"{freed(outcome.pruned)} {counted(len(outcome.plan.kept), 'set')} stay."
