"""What happens around a run: a stalled program, a killed worker, a lost host, Prefect gone, missed schedules."""

from __future__ import annotations

import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.schedules import RRuleSchedule

from tests.flows.installation import WELL_BEGUN, wait_for
from tests.flows.scene import Scene

pytestmark = pytest.mark.xdist_group("scene")


@pytest.fixture(scope="module", autouse=True)
def lost_host(scene: Scene) -> Iterator[UUID]:
    """A drill whose worker and process were killed at once, as when a host loses its power.

    Begun before all other tests: that nobody hears its heart any more takes Prefect 100 seconds.
    """
    ops = scene.installation
    with scene.workers("backup", "restore"):
        ops.completed(ops.run("nightly-backup", server="platform"))
        run = ops.run("restore-drill", server="platform")
        process = ops.process(run)
        wait_for(lambda: list(scene.temporary.glob("platform-ops-scratch-*")))
        ops.kill("restore")
        process.send(signal.SIGKILL)
        yield run


def test_a_stalled_dump_is_ended_and_taken_again(scene: Scene) -> None:
    ops = scene.installation
    run = ops.run("nightly-backup", server="platform")
    ops.child(run, "pg_dump", wrote=WELL_BEGUN).send(signal.SIGSTOP)
    ops.completed(run)
    assert re.search(
        r"No byte has moved for 6 s; ended pg_dump of '\w+'.*Look at locks and load", ops.logs(run)
    )
    newest = scene.stored("nightly", "platform").newest("platform", None)
    assert newest is not None
    assert (datetime.now(UTC) - newest.created) < timedelta(minutes=5)
    wait_for(lambda: not ops.left(run))


def test_a_killed_worker_takes_no_run_with_it(scene: Scene) -> None:
    ops = scene.installation
    run = ops.run("nightly-backup", server="platform")
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
                    "parameters": {"server": "platform"},
                }
            ],
        ).json()
        # A new schedule alone does not wake the scheduler; a changed deployment does.
        client.update_deployment(deployment, DeploymentUpdate(description="A test schedules it."))
    if "backup" in ops.processes:
        ops.kill("backup")
    before = len(scene.stored("nightly", "platform").scopes[("platform", None)])
    wait_for(lambda: len(missed(scene, begin)) == 5)
    time.sleep(max(0.0, (begin + timedelta(seconds=9) - datetime.now(UTC)).total_seconds()))
    ops.start_worker("backup")
    runs = wait_for(
        lambda: (
            [r for r in missed(scene, begin) if r.state and r.state.is_final()][4:] and missed(scene, begin)
        )
    )
    assert Counter(run.state_name for run in runs) == {"Skipped": 4, "Completed": 1}
    [worked] = [run for run in runs if run.state_name == "Completed"]
    assert worked.expected_start_time == max(
        run.expected_start_time for run in runs if run.expected_start_time
    )
    for run in runs:
        if run.state is not None and run.state.name == "Skipped":
            assert (run.state.message or "").startswith("Missed at ")
            assert f"; {worked.name}, which was due at " in (run.state.message or "")
    assert len(scene.stored("nightly", "platform").scopes[("platform", None)]) == before + 1
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


def test_a_run_on_a_lost_host_shows_as_crashed_and_the_next_drill_works(
    scene: Scene, lost_host: UUID
) -> None:
    ops = scene.installation
    ended = ops.ended(lost_host)
    assert ended.state is not None
    assert ended.state.type is StateType.CRASHED
    assert ended.state.message == (
        "No heartbeat: the process was killed or its host is gone. Start the run again."
    )
    assert scene.slots("restore-drill") == 0
    ops.start_worker("restore")
    ops.completed(ops.run("restore-drill", server="platform"))
    assert list(scene.temporary.glob("platform-ops-scratch-*")) == []
    wait_for(lambda: not ops.left(lost_host))


def test_prefect_restarted_in_the_middle_of_a_run(scene: Scene) -> None:
    ops = scene.installation
    if "backup" not in ops.processes:
        ops.start_worker("backup")
    run = ops.run("nightly-backup", server="platform")
    dump = ops.child(run, "pg_dump", wrote=WELL_BEGUN)
    dump.send(signal.SIGSTOP)
    ops.kill("server")
    dump.send(signal.SIGCONT)
    time.sleep(3)
    ops.start_server()
    ops.completed(run)
    assert scene.slots("nightly-backup") == 0
    newest = scene.stored("nightly", "platform").newest("platform", None)
    assert newest is not None
    ops.completed(ops.run("restore-drill", server="platform", which=newest.key.set_id))
    newest = scene.stored("nightly", "platform").newest("platform", None)
    assert newest is not None
    assert newest.state == "proven"
