"""Prove and verify what is stored."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from prefect import task
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed

from engine.errors import CouldNotVerify, OperationFailed
from engine.postgres import drill
from engine.postgres.course import DrillReport
from engine.reports import drill as drill_reports
from engine.sets.keys import parse_set
from engine.sets.lease import drilling
from engine.sets.verify import VerifyRun, verify_stored
from tasks.opening import open_server, open_store, store_of
from tasks.running import SAMPLED, logged_progress, worth_retrying

_GIB = 1 << 30


@task(
    task_run_name="choose {which} of {server}",
    retries=2,
    retry_delay_seconds=10,
    retry_condition_fn=worth_retrying,
)
def choose_set(server: str, store: str, database: str, which: str) -> str:
    """The key of the set an operator means: the cluster's, or a database's when one is named."""
    target = open_store(store_of(open_server(server), store))
    return str(target.catalogue(server).find(which, server, database or None).key)


@task(task_run_name="drill {set_key}")
def drill_set(set_key: str, server: str, store: str = "") -> DrillReport:
    """Restore into a scratch server and compare. A bad backup is a verdict, not an error."""
    opened = open_server(server)
    target = open_store(store_of(opened, store))
    key = parse_set(set_key)
    with drilling(target.store, key, str(flow_run.name)):
        return drill.drill(target, key, logged_progress(), opened.settings.docker_host)


@task(task_run_name="read the past drills of {server}")
def past_drills(set_key: str, server: str, store: str = "") -> tuple[Mapping[str, Any], ...]:
    """What the last drills of the same kind of set found, newest first."""
    target = open_store(store_of(open_server(server), store))
    return drill_reports.past_drills(target, target.catalogue(server).verdicts, server, set_key)


def require_equal(report: DrillReport) -> State[None]:
    """The state a drill's run ends in: Completed, called `Sampled` when only a sample was compared.

    Raises:
        OperationFailed, CouldNotVerify: as `require_passed`.
    """
    if report.result == "sampled":
        return Completed(name=SAMPLED, message=report.sentence)
    require_passed(report.result, report.sentence)
    return Completed(message=report.sentence)


def require_passed(result: str, sentence: str) -> None:
    """End the run as Failed, with the evidence in its message, unless all is proven.

    Raises:
        OperationFailed: the set is bad.
        CouldNotVerify: nothing could be shown.
    """
    if result == "failed":
        raise OperationFailed(sentence)
    if result != "passed":
        raise CouldNotVerify(sentence)


@task(task_run_name="verify up to {budget_gib} GiB of {store}", retries=1, retry_condition_fn=worth_retrying)
def verify_least_recent(store: str, budget_gib: float) -> VerifyRun:
    target = open_store(store)
    return verify_stored(
        target.store,
        datetime.now(UTC),
        int(budget_gib * _GIB),
        digest_key=target.digest_key,
        progress=logged_progress(),
    )
