"""Back up a server: the lock, the list, one dump for each database, the cluster set, retention."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from prefect import get_run_logger, task
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture, as_completed
from prefect.runtime import flow_run
from prefect.states import Completed
from prefect.task_runners import ThreadPoolTaskRunner

from engine.errors import DatabaseDropped, PlatformOpsError, failed_in_part
from engine.postgres import backup, lock, survey
from engine.postgres.backup import ClusterBackup, DatabaseBackup
from engine.postgres.database import drop_working
from engine.postgres.lock import HeldLock
from engine.postgres.night import Night, begin, ordinals
from engine.postgres.survey import DatabaseFound
from engine.reports.backup import BackupOutcome
from engine.sets.copies import CopyRun, failed_copy, require_copies, update_copy
from engine.sets.lease import PATIENCE_SECONDS
from engine.sets.prune import PrunePlan, PruneReport, plan_prune, prune, sweep_incomplete
from tasks.artifacts import BackupRecord
from tasks.opening import open_server, open_store, store_of
from tasks.running import DROPPED, known, logged_progress, worth_retrying


@dataclass(frozen=True, slots=True)
class NightTicket:
    """Which night a step belongs to: with it, a retry writes to the same place as the first try."""

    server: str
    started: datetime
    token: str

    def begin(self) -> Night:
        """Server and tools are looked at once in a run: its steps share what was found."""
        return _begun(self)


@lru_cache(maxsize=1)
def _begun(ticket: NightTicket) -> Night:
    return begin(open_server(ticket.server), ticket.token, ticket.started)


def tonight(server: str) -> NightTicket:
    """The ticket of this flow run."""
    return NightTicket(server, datetime.now(UTC), str(flow_run.id))


@contextmanager
def backup_lock(server: str) -> Iterator[HeldLock]:
    """Hold the server's backup lock in the flow's own process; it is gone with it, however it ends."""
    with lock.backup_lock(open_server(server), str(flow_run.name)) as held:
        yield held


@task(task_run_name="sweep what a killed run left of {server}", retries=1, retry_condition_fn=worth_retrying)
def sweep_leftovers(server: str) -> int:
    """Remove files without a manifest and databases of a restore that did not end.

    The lock's holder knows that nobody else is at them.
    """
    opened = open_server(server)
    with suppress(PlatformOpsError):  # one that stays is listed with its reason
        drop_working(opened)
    target = open_store(store_of(opened))
    target.store.sweep(f"{server}/")
    return len(sweep_incomplete(target.store, server, datetime.now(UTC), older_than=None).deleted)


@task(
    task_run_name="list the databases of {server}",
    retries=2,
    retry_delay_seconds=10,
    retry_condition_fn=worth_retrying,
)
def list_databases(server: str) -> tuple[DatabaseFound, ...]:
    return survey.list_databases(open_server(server))


@task(
    task_run_name="dump {database.name}", retries=2, retry_delay_seconds=30, retry_condition_fn=worth_retrying
)
def dump_database(
    database: DatabaseFound, ordinal: int, night: NightTicket
) -> DatabaseBackup | State[None] | None:
    """One database's dump, plain SQL and proof out of one snapshot. A retry starts clean, with a new one.

    None, and a state called Dropped, when somebody dropped the database since it was listed.
    """
    begun = night.begin()
    target = open_store(store_of(begun.server))
    try:
        return backup.backup_database(begun, database, ordinal, target, logged_progress())
    except DatabaseDropped as error:
        get_run_logger().warning("%s", error)
        return Completed(name=DROPPED, message=str(error))


def dump_databases(night: NightTicket, outcome: BackupOutcome, record: BackupRecord, held: HeldLock) -> None:
    """Dump every database that can be, as many at once as the server's `jobs` allow, the largest first.

    One that fails does not stop the others, a lost lock does. What becomes of each is put into `outcome` and the record.
    """
    numbers = ordinals(outcome.found)
    largest_first = sorted((one for one in outcome.found if not one.skipped), key=lambda one: -one.size)
    runner = ThreadPoolTaskRunner[Any](max_workers=open_server(night.server).settings.jobs)
    with runner:
        dumps: dict[PrefectFuture[Any], DatabaseFound] = {
            runner.submit(dump_database, {"database": one, "ordinal": numbers[one.name], "night": night}): one
            for one in largest_first
        }
        try:
            for dump in as_completed(list(dumps)):
                _collect(outcome, dumps[dump], dump.result(raise_on_failure=False))
                held.require()
                record.goes_on()
        except BaseException as error:
            record.fails(error)  # now: a run that is cancelled is killed while it waits for what still runs
            raise
    outcome.databases.sort(key=lambda one: numbers[one.database])


def _collect(outcome: BackupOutcome, database: DatabaseFound, result: object) -> None:
    match result:
        case DatabaseBackup():
            outcome.databases.append(result)
        case None:
            outcome.drop(database)
        case _:
            outcome.failures.append((database.name, known(result)))


@task(
    task_run_name="publish the cluster set of {night.server}",
    retries=2,
    retry_delay_seconds=30,
    retry_condition_fn=worth_retrying,
)
def publish_cluster(
    night: NightTicket, dumped: Sequence[DatabaseBackup], found: Sequence[DatabaseFound]
) -> ClusterBackup:
    begun = night.begin()
    return backup.publish_cluster(begun, dumped, found, open_store(store_of(begun.server)))


@task(
    task_run_name="withdraw the cluster set of {night.server}", retries=1, retry_condition_fn=worth_retrying
)
def withdraw_cluster(night: NightTicket) -> None:
    """Take back the databases' parts of a cluster set that there will not be."""
    begun = night.begin()
    backup.withdraw_cluster(begun, open_store(store_of(begun.server)))


@task(task_run_name="copy to {store}", retries=2, retry_delay_seconds=60, retry_condition_fn=worth_retrying)
def copy_to(store: str, server: str, apply_retention: bool = True) -> CopyRun:
    """Copy what a further store lacks and apply its retention there; fails while anything is missing."""
    source, further = open_store(store_of(open_server(server))), open_store(store)
    run = update_copy(
        source,
        further,
        server,
        datetime.now(UTC),
        str(flow_run.name),
        logged_progress(),
        apply_retention=apply_retention,
    )
    require_copies([run])
    return run


def copy_everywhere(server: str, apply_retention: bool = True) -> list[CopyRun]:
    """Copy to each further store of the server; one that fails is told, and stops neither the next nor the night."""
    settings = open_server(server).settings
    runs = []
    for store in settings.copies:
        result = copy_to(store, server, apply_retention, return_state=True).result(raise_on_failure=False)
        runs.append(result if isinstance(result, CopyRun) else failed_copy(settings.store, store, result))
    return runs


@task(
    task_run_name="plan retention of {server}",
    retries=2,
    retry_delay_seconds=10,
    retry_condition_fn=worth_retrying,
)
def plan_retention(server: str, store: str = "", allow_clock_jump: bool = False) -> PrunePlan:
    """What would go and why each other set stays."""
    target = open_store(store_of(open_server(server), store))
    return plan_prune(
        target.store,
        server,
        target.retention,
        datetime.now(UTC),
        allow_clock_jump,
        sizes=True,
        digest_key=target.digest_key,
    )


@task(
    task_run_name="delete what retention lets go",
    retries=2,
    retry_delay_seconds=10,
    retry_condition_fn=worth_retrying,
)
def delete_expired(plan: PrunePlan, server: str, store: str = "") -> PruneReport:
    """Delete what the plan lets go, unless the store has changed so that it is wanted again."""
    target = open_store(store_of(open_server(server), store))
    return prune(
        target.store,
        plan,
        str(flow_run.name),
        logged_progress(),
        wait_seconds=PATIENCE_SECONDS,
        digest_key=target.digest_key,
    )


def require_stored(outcome: BackupOutcome) -> None:
    """End the run as Failed when a database is not stored.

    Raises:
        PlatformOpsError: the first one's sentence, and how many others there are.
    """
    if failed := failed_in_part(outcome.failures, "backed up", len(outcome.databases), "stored"):
        raise failed
