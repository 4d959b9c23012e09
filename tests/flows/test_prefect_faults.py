"""What happens around a run: a stalled program, a killed worker, a lost host, Prefect gone, missed schedules."""

from __future__ import annotations

import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import UUID

import psycopg
import pytest
from prefect import flow
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.client.schemas.objects import FlowRun, StateType, WorkPoolStatus
from prefect.client.schemas.schedules import RRuleSchedule
from prefect.events.schemas.automations import EventTrigger
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_LOGGING_TO_API_ENABLED,
    temporary_settings,
)

from deployments.automations import apply_automation, late_runs, no_worker, wanted
from engine.config.settings import SourceSettings
from engine.hosts.processes import ProcessIdentity
from tasks.running import logged_progress
from tests.blocks.made import WHOLE, ServerBlock
from tests.flows.installation import WELL_BEGUN, Installation, wait_for
from tests.flows.scene import Scene
from tests.webhook import webhook

pytestmark = [pytest.mark.installation, pytest.mark.xdist_group("scene")]


@pytest.fixture(scope="module", autouse=True)
def lost_host(scene: Scene) -> Iterator[UUID]:
    """A drill whose worker and process were killed at once, as when a host loses its power.

    Begun before all other tests: that nobody hears its heart any more takes Prefect 100 seconds.
    """
    ops = scene.installation
    with scene.workers("backup", "restore"):
        ops.completed(ops.run("nightly-backup", source="platform"))
        run = ops.run("restore-drill", source="platform")
        process = ops.process(run)
        wait_for(lambda: list(scene.temporary.glob("platform-ops-scratch-*")))
        ops.kill("restore")
        process.send(signal.SIGKILL)
        yield run


def _no_worker_is_known(client: SyncPrefectClient) -> bool:
    """Whether the pool `backup` has none any more; any that it has is taken away."""
    known = client._client.post("/work_pools/backup/workers/filter", json={}).raise_for_status().json()
    for worker in known:
        client._client.delete(f"/work_pools/backup/workers/{worker['name']}").raise_for_status()
    return not known


def test_workers_that_are_gone_and_runs_that_nobody_takes_are_told(scene: Scene) -> None:
    ops, soon = scene.installation, timedelta(seconds=10)
    started = [pool for pool in ("backup", "restore") if pool not in ops.processes]
    for pool in started:
        ops.start_worker(pool)
    with webhook() as heard, ops.client() as client:
        # A pool that another test left without a worker would not become one once more. And no test before this one has
        # started the server anew: it then keeps back what follows an event that it did not see itself, for 15 minutes
        # (PRECEDING_EVENT_LOOKBACK); that runs are late it tells all the same.
        wait_for(lambda: client.read_work_pool("backup").status == WorkPoolStatus.READY, pause=0.3)
        with temporary_settings({PREFECT_API_URL: ops.api}):
            reported = CustomWebhookNotificationBlock(
                name="any", url=heard.address, method="POST", json_data={"text": "{{subject}} :: {{body}}"}
            )
            block = cast(UUID, reported.save("told-of-workers", overwrite=True))
        for automation in (no_worker(block, soon), late_runs(block, soon)):
            apply_automation(client, automation)
        ops.kill("backup")
        # Prefect itself would call it offline after three heartbeats of 30 s; one may still be on its way in the server.
        wait_for(lambda: _no_worker_is_known(client), pause=2)
        run = ops.run("check-backups", source="platform")
        wait_for(lambda: heard.bodies("No worker is alive for the work pool backup"), 180, pause=0.3)
        wait_for(lambda: heard.bodies("Runs are late and nobody takes them: check-backups of platform"), 180, pause=0.3)
        assert heard.bodies("pool restore") == []
        for name in ("no worker", "late runs"):
            [made] = client.read_automations_by_name(f"platform-ops: {name}")
            client.delete_automation(made.id)
    ops.start_worker("backup")
    if "restore" in started:
        ops.kill("restore")
    ops.ended(run)


def test_a_stalled_dump_is_ended_and_taken_again(scene: Scene) -> None:
    ops = scene.installation
    run = ops.run("nightly-backup", source="platform")
    ops.child(run, "pg_dump", wrote=WELL_BEGUN).send(signal.SIGSTOP)
    ops.completed(run)
    assert re.search(r"No byte has moved for 6 s; ended pg_dump of '\w+'.*Look at locks and load", ops.logs(run))
    newest = scene.stored("nightly", "platform").newest(WHOLE)
    assert newest is not None
    assert (datetime.now(UTC) - newest.created) < timedelta(minutes=5)
    wait_for(lambda: not ops.left(run))


def test_a_killed_worker_takes_no_run_with_it(scene: Scene) -> None:
    ops = scene.installation
    run = ops.run("nightly-backup", source="platform")
    dump = ops.child(run, "pg_dump", wrote=WELL_BEGUN)
    dump.send(signal.SIGSTOP)
    ops.kill("backup")
    dump.send(signal.SIGCONT)
    ops.completed(run)
    assert scene.slots("nightly-backup") == 0


def test_of_the_runs_that_were_missed_only_the_newest_does_the_work(scene: Scene) -> None:
    ops = scene.installation
    begin = (datetime.now(UTC) + timedelta(seconds=20)).replace(microsecond=0)
    with ops.client() as client:
        deployment = client.read_deployment_by_name("nightly-backup/nightly-backup").id
        rule = f"DTSTART:{begin:%Y%m%dT%H%M%SZ}\nRRULE:FREQ=SECONDLY;INTERVAL=2;COUNT=5"
        [schedule] = client._client.post(
            f"/deployments/{deployment}/schedules",
            json=[
                {
                    "schedule": RRuleSchedule(rrule=rule, timezone="UTC").model_dump(mode="json"),
                    "active": True,
                    "parameters": {"source": "platform"},
                }
            ],
        ).json()
        # A new schedule alone does not wake the scheduler; a changed deployment does.
        client.update_deployment(deployment, DeploymentUpdate(description="A test schedules it."))
    if "backup" in ops.processes:
        ops.kill("backup")
    before = len(scene.stored("nightly", "platform").assets[WHOLE])
    wait_for(lambda: len(missed(scene, begin)) == 5, pause=0.3)
    time.sleep(max(0.0, (begin + timedelta(seconds=9) - datetime.now(UTC)).total_seconds()))
    ops.start_worker("backup")
    runs = wait_for(
        lambda: [r for r in missed(scene, begin) if r.state and r.state.is_final()][4:] and missed(scene, begin)
    )
    assert Counter(run.state_name for run in runs) == {"Skipped": 4, "Completed": 1}
    [worked] = [run for run in runs if run.state_name == "Completed"]
    assert worked.expected_start_time == max(run.expected_start_time for run in runs if run.expected_start_time)
    for run in runs:
        if run.state is not None and run.state.name == "Skipped":
            assert (run.state.message or "").startswith("Missed at ")
            assert "; the run that was due at " in (run.state.message or "")
    assert len(scene.stored("nightly", "platform").assets[WHOLE]) == before + 1
    with ops.client() as client:
        client.delete_deployment_schedule(deployment, UUID(schedule["id"]))


def missed(scene: Scene, begin: datetime) -> list[FlowRun]:
    """The scheduled runs of the night since `begin`."""
    named = DeploymentFilter(name=DeploymentFilterName(any_=["nightly-backup"]))
    with scene.installation.client() as client:
        runs = client.read_flow_runs(deployment_filter=named)
    soon = begin + timedelta(minutes=5)
    return [
        run
        for run in runs
        if run.auto_scheduled and run.expected_start_time and begin <= run.expected_start_time < soon
    ]


def test_a_run_on_a_lost_host_shows_as_crashed_and_the_next_drill_works(scene: Scene, lost_host: UUID) -> None:
    ops = scene.installation
    ended = ops.ended(lost_host)
    assert ended.state is not None
    assert ended.state.type is StateType.CRASHED
    assert (ended.state.message or "").startswith(
        "No heartbeat: the process was killed or its host is gone; start the run again."
    )
    assert scene.slots("restore-drill") == 0
    ops.start_worker("restore")
    ops.completed(ops.run("restore-drill", source="platform"))
    assert list(scene.temporary.glob("platform-ops-scratch-*")) == []
    wait_for(lambda: not ops.left(lost_host))


def test_prefect_restarted_in_the_middle_of_a_run(scene: Scene) -> None:
    ops = scene.installation
    for pool in ("backup", "restore"):  # another test may have killed one
        if pool not in ops.processes:
            ops.start_worker(pool)
    run = ops.run("nightly-backup", source="platform")
    dump = ops.child(run, "pg_dump", wrote=WELL_BEGUN)
    dump.send(signal.SIGSTOP)
    ops.kill("server")
    dump.send(signal.SIGCONT)
    time.sleep(3)
    ops.start_server()
    ops.completed(run)
    assert scene.slots("nightly-backup") == 0
    newest = scene.stored("nightly", "platform").newest(WHOLE)
    assert newest is not None
    ops.completed(ops.run("restore-drill", source="platform", which=newest.key.set_id))
    newest = scene.stored("nightly", "platform").newest(WHOLE)
    assert newest is not None
    assert newest.state == "proven"


@contextmanager
def zombies_after(ops: Installation, seconds: float) -> Iterator[None]:
    """Runs are called crashed so many seconds after their last heartbeat (they beat every 30 s)."""

    usual = next(wanted(None, {}))
    assert isinstance(usual.trigger, EventTrigger)
    soon = usual.trigger.model_copy(update={"within": timedelta(seconds=seconds)})
    with ops.client() as client:
        apply_automation(client, usual.model_copy(update={"trigger": soon}))
    try:
        yield
    finally:
        with ops.client() as client:
            apply_automation(client, usual)


@contextmanager
def unheard(process: ProcessIdentity) -> Iterator[None]:
    """A run that does not get to send its heartbeats: those of a Prefect that is away would arrive when it is back."""
    process.send(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send(signal.SIGCONT)


@contextmanager
def held_up(scene: Scene) -> Iterator[tuple[UUID, Callable[[], None]]]:
    """A backup that waits for a table, with patience, and what lets it go on."""
    ops = scene.installation
    usual = scene.settings.sources["platform"]
    unhurried = usual.model_copy(update={"stall_minutes": 10.0, "lock_wait_seconds": 600})
    _save(ops, unhurried)
    if "backup" not in ops.processes:
        ops.start_worker("backup")
    try:
        with psycopg.connect(scene.instance.conninfo("large")) as blocker:
            blocker.execute("LOCK TABLE note")
            run = ops.run("nightly-backup", source="platform")
            wait_for(lambda: scene.sql("postgres", WAITING) == [(1,)])
            wait_for(lambda: _heard(ops, run))
            yield run, blocker.rollback
    finally:
        _save(ops, usual)


WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


def _save(ops: Installation, settings: SourceSettings) -> None:
    with temporary_settings({PREFECT_API_URL: ops.api}):
        ServerBlock.of(settings).save("platform", overwrite=True)


def _heard(ops: Installation, run: UUID) -> bool:
    """Whether a heartbeat of the run has come to the server."""
    wanted = {
        "event": {"name": ["prefect.flow-run.heartbeat"]},
        "resource": {"id": [f"prefect.flow-run.{run}"]},
    }
    with ops.client() as client:
        return bool(client._client.post("/events/filter", json={"filter": wanted}).json()["events"])


def _is(ops: Installation, run: UUID, wanted_type: StateType) -> bool:
    with ops.client() as client:
        state = client.read_flow_run(run).state
    return state is not None and state.type is wanted_type


def _whole(scene: Scene, run: UUID) -> None:
    """The run ended well, and its cluster set is there."""
    ops = scene.installation
    wait_for(lambda: not ops.left(run))
    wait_for(lambda: _is(ops, run, StateType.COMPLETED), 60, pause=0.3)
    newest = scene.stored("nightly", "platform").newest(WHOLE)
    assert newest is not None
    with ops.client() as client:
        begun = client.read_flow_run(run).start_time
    assert begun is not None
    assert newest.created >= begun - timedelta(seconds=1)


def test_prefect_away_for_longer_than_its_patience(scene: Scene) -> None:
    """When it is back it calls the run crashed, having heard nothing; the run works on, and its end counts."""
    ops = scene.installation
    with zombies_after(ops, 40), held_up(scene) as (run, let_go):
        with unheard(ops.process(run)):
            ops.kill("server")
            time.sleep(45)
            ops.start_server()
            wait_for(lambda: _is(ops, run, StateType.CRASHED), 60, pause=0.3)
        let_go()
        _whole(scene, run)
        assert scene.slots("nightly-backup") == 0
    ops.completed(ops.run("nightly-backup", source="platform"))


def test_prefect_away_when_a_run_needs_it(scene: Scene) -> None:
    """Settings, record and final state wait until it is back."""
    ops = scene.installation
    with held_up(scene) as (run, let_go):
        ops.kill("server")
        let_go()
        time.sleep(10)
        ops.start_server()
        _whole(scene, run)


def test_nothing_of_prefect_s_was_refused_by_its_own_database(scene: Scene) -> None:
    """After all that the tests before have done to it, on a machine that is busy with them."""
    output = (scene.installation.layout.logs / "server.log").read_text(errors="replace")
    assert output.count("database is locked") == 0


def test_no_work_fails_for_a_picture_of_its_progress(scene: Scene) -> None:
    ops = scene.installation

    @flow
    def working() -> str:
        report = logged_progress()
        report("restore", 1, 2)
        ops.kill("server")
        report("restore", 2, 2)
        report("compare", 1, 2)
        ops.start_server()
        return "done"

    quiet = {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None, PREFECT_LOGGING_TO_API_ENABLED: False}
    with temporary_settings({PREFECT_API_URL: ops.api, **quiet}):
        assert working() == "done"
