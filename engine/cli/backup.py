"""platformctl backup"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import click

from engine.cli.invocation import Invocation, operation, server_option
from engine.cli.outcome import Outcome, Problem, problem_of
from engine.errors import DatabaseDropped, PartialSuccess, PlatformOpsError, failed_in_part
from engine.postgres.backup import DatabaseBackup, backup_database, publish_cluster, withdraw_cluster
from engine.postgres.database import drop_working
from engine.postgres.lock import HeldLock, backup_lock
from engine.postgres.night import Night, begin, ordinals
from engine.postgres.server import Server
from engine.postgres.survey import DatabaseFound, chosen, excluded_but_unknown, list_databases
from engine.reports.backup import BackupOutcome, backup_report
from engine.sets.copies import CopyRun, failed_copy, update_copy
from engine.sets.keys import server_prefix
from engine.sets.lease import PATIENCE_SECONDS
from engine.sets.prune import plan_prune, prune, sweep_incomplete
from engine.sets.target import Target

_LABEL = "platformctl backup"


@click.command(
    help="""Back up a server, prove what was read, and let old sets go.

    Each database is read once, in one snapshot. All of them together become one cluster set (plain
    SQL with the roles, in restore order) and each becomes a set of its own. With --database only the
    named databases are stored, each as its own set, and no cluster set is published.

    \b
    Example:
      platformctl backup --server platform
      platformctl backup --database kohub --database keycloak
    """
)
@server_option("The server to back up; may be left out when there is one only.")
@click.option("--database", "databases", multiple=True, metavar="NAME", help="Only this one (repeatable).")
@click.option("--no-prune", is_flag=True, help="Let no old set go afterwards.")
@operation
def command(
    invocation: Invocation, server: str | None, databases: tuple[str, ...], no_prune: bool
) -> Outcome:
    source = invocation.server(server)
    target = invocation.target(source.settings.store)
    done = BackupOutcome(source.name, target.store.name, bool(target.recipients))
    run = _Run(invocation, source, target, databases, done)
    began = time.monotonic()
    with backup_lock(source, "platformctl") as lock:
        run.back_up(lock)
        retaining = not (no_prune or done.failures)
        run.copy(retaining)
        if retaining:
            run.prune()
    done.seconds = time.monotonic() - began
    return Outcome("backup", _result(done), backup_report(done), problem=run.problem())


@dataclass
class _Run:
    """One backup from its start to its end; what it has come to so far."""

    invocation: Invocation
    server: Server
    target: Target
    wanted: tuple[str, ...]
    done: BackupOutcome

    def back_up(self, lock: HeldLock) -> None:
        """Survey, clear away what a killed run left, dump, publish. The caller holds the lock."""
        self.invocation.progress(f"look at {self.server.address}")
        night = begin(self.server, secrets.token_hex(8))
        with suppress(PlatformOpsError):  # one that stays is listed with its reason
            drop_working(self.server)
        done = self.done
        done.found = list_databases(self.server)
        done.unknown = excluded_but_unknown(done.found, self.server)
        todo = chosen(done.found, self.wanted, self.server)
        self._sweep()
        try:
            self._dump(night, todo, lock)
            if not self.wanted and not done.failures:
                done.cluster = publish_cluster(night, done.databases, done.found, self.target)
        finally:
            if done.cluster is None and not self.wanted:
                with suppress(PlatformOpsError):
                    withdraw_cluster(night, self.target)

    def _sweep(self) -> None:
        store, name = self.target.store, self.server.name
        store.sweep(server_prefix(name))
        sweep_incomplete(store, name, datetime.now(UTC), older_than=None, progress=self.invocation.progress)

    def _dump(self, night: Night, todo: Sequence[DatabaseFound], lock: HeldLock) -> None:
        """Dump `jobs` at a time, the largest first; one that fails does not stop the others, a lost lock does."""
        numbers = ordinals(self.done.found)
        largest_first = sorted(todo, key=lambda one: -one.size)
        pool = ThreadPoolExecutor(self.server.settings.jobs)
        try:
            running = [
                (one, pool.submit(self._dump_one, night, one, numbers[one.name])) for one in largest_first
            ]
            for one, future in running:
                self._collect(one, future)
                lock.require()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        self.done.databases.sort(key=lambda one: numbers[one.database])

    def _dump_one(self, night: Night, one: DatabaseFound, ordinal: int) -> DatabaseBackup:
        self.invocation.progress(f"dump {one.name}")
        progress, alone = self.invocation.progress, bool(self.wanted)
        return backup_database(night, one, ordinal, self.target, progress, alone=alone)

    def _collect(self, one: DatabaseFound, future: Future[DatabaseBackup]) -> None:
        try:
            self.done.databases.append(future.result())
        except PlatformOpsError as error:
            if isinstance(error, DatabaseDropped) and not self.wanted:
                self.done.drop(one)
                return
            self.done.failures.append((one.name, error))

    def copy(self, apply_retention: bool) -> None:
        """Bring each further store up to date; what goes wrong there spoils nothing in the first."""
        first = self.target.store.name
        for name in self.server.settings.copies:
            try:
                further = self.invocation.target(name)
            except PlatformOpsError as error:
                self.done.copies.append(failed_copy(first, name, error))
                continue
            run = update_copy(
                self.target,
                further,
                self.server.name,
                datetime.now(UTC),
                _LABEL,
                self.invocation.progress,
                apply_retention=apply_retention,
            )
            self.done.copies.append(run)

    def prune(self) -> None:
        """Let go what retention no longer wants; what goes wrong here spoils nothing that was stored."""
        self.invocation.progress("apply retention")
        store, key, tell = self.target.store, self.target.digest_key, self.invocation.progress
        try:
            self.done.plan = plan_prune(
                store, self.server.name, self.target.retention, datetime.now(UTC), sizes=True, digest_key=key
            )
            self.done.pruned = prune(
                store, self.done.plan, _LABEL, tell, wait_seconds=PATIENCE_SECONDS, digest_key=key
            )
        except PlatformOpsError as error:
            self.done.prune_failure = str(error)

    def problem(self) -> Problem | None:
        """Why this run is not wholly good; None when it is."""
        done = self.done
        if failed := failed_in_part(done.failures, "backed up", len(done.databases), "stored"):
            return problem_of(failed)
        partial = [run.problem for run in done.copies if run.problem]
        if done.prune_failure:
            partial.append(f"The backup is stored, but retention could not be applied: {done.prune_failure}")
        return problem_of(PartialSuccess(" ".join(partial))) if partial else None


def _copy(run: CopyRun) -> dict[str, Any]:
    return {
        "store": run.store,
        "copied": [str(report.key) for report in run.copied if report.files],
        "bytes": run.bytes,
        "lacking": [str(key) for key in run.lacking],
        "pruned": [str(key) for key in run.pruned.deleted] if run.pruned else [],
        "problem": run.problem or None,
    }


def _result(done: BackupOutcome) -> dict[str, Any]:
    pruned = done.pruned
    return {
        "server": done.server,
        "store": done.store,
        "encrypted": done.encrypted,
        "seconds": round(done.seconds, 3),
        "stored_bytes": done.stored_bytes,
        "cluster": done.cluster.model_dump(mode="json") if done.cluster else None,
        "databases": [one.model_dump(mode="json", exclude={"cluster_files"}) for one in done.databases],
        "skipped": [asdict(one) for one in done.found if one.skipped],
        "failed": [{"database": name, "sentence": str(error)} for name, error in done.failures],
        "missing": done.missing,
        "excluded_but_unknown": list(done.unknown),
        "pruned": [str(key) for key in pruned.deleted] if pruned else [],
        "copies": [_copy(run) for run in done.copies],
        "pruning_refused": done.prune_failure or (done.plan.doubt if done.plan else None),
    }
