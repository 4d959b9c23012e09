"""Deploys to a cluster as flow runs: approval by a person in the UI, the record, who is told, a month that is closed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pyrage
import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.flow_engine import run_flow
from prefect.server.schemas.schedules import CronSchedule
from prefect.states import Scheduled
from prefect.types._datetime import create_datetime_instance

from blocks import BackupStore
from blocks import Cluster as ClusterBlock
from engine.config.clusters import ClusterSettings
from engine.config.settings import FolderStore
from engine.errors import ConfigurationError, OperationFailed
from engine.kubernetes import records
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.settings import ServerSettings
from engine.sources.registry import default_retention
from flows.daily_backup import daily_backup
from flows.kerp_check_database import kerp_check_database
from flows.kerp_delete_pod import kerp_delete_pod
from flows.kerp_deploy import kerp_deploy
from flows.kerp_history import kerp_history
from flows.kerp_logs import kerp_logs
from flows.kerp_migrate import kerp_migrate
from flows.kerp_restart import kerp_restart
from flows.kerp_rollback import kerp_rollback
from flows.kerp_scale import kerp_scale
from flows.kerp_top import kerp_top
from flows.log_cleanup import log_cleanup
from flows.month_end_closing import month_end_closing
from tasks.clusters import closing_month
from tests.blocks.made import ServerBlock
from tests.engine.kubernetes.application import CANARY, App
from tests.engine.migrations.scene import PASSWORD, aws, connection, database, server
from tests.flows.test_flows import artifacts
from tests.flows.test_release_flows import Answering
from tests.kubebox import NEW, OLD
from tests.webhook import webhook

__all__ = ["aws", "connection", "database", "server"]  # fixtures
pytestmark = [pytest.mark.installation, pytest.mark.xdist_group("kubernetes")]


def test_approval_record_notification_and_the_incident_commands(app: App, prefect_server: str) -> None:
    app.settings |= {"environment": "production", "notify": "kerp-chat"}
    ClusterBlock.of(app.connection.settings).save("box", overwrite=True)
    with webhook() as chat:
        reported = {"subject": "{{subject}}", "body": "{{body}}"}
        CustomWebhookNotificationBlock(name="chat", url=chat.address, json_data=reported).save(
            "kerp-chat", overwrite=True
        )

        with Answering({"decision": "approve", "approved_by": "Ada"}) as person:
            state = kerp_deploy("box", OLD, return_state=True)
        assert state.is_completed(), state.message
        assert "Plan" in person.requested and OLD in person.requested and CANARY not in person.requested
        [release] = records.releases(app.connection, "kerp-api")
        assert (release.state, release.approved_by, release.revision) == ("good", "Ada", 1)
        [record, *_] = artifacts("kerp-deploy")
        assert "Ada" in str(record.data) and "smoke" in str(record.data) and CANARY not in str(record.data)

        with Answering({}), pytest.raises(OperationFailed, match=r"rejected.*nothing was changed"):
            kerp_deploy("box", NEW)
        assert app.image() == OLD

        with Answering({"decision": "approve"}):
            failed = kerp_deploy("box", "cccccccc-20260103000000", return_state=True)
        assert failed.is_failed()
        [record, *_] = artifacts("kerp-deploy")
        assert "cannot be pulled" in str(record.data) and "ImagePullBackOff" in str(record.data)

        bodies = [json.loads(call.body) for call in chat.calls]
        assert [body["subject"] for body in bodies] == [
            f"kerp-deploy of box to {OLD}: Completed",
            f"kerp-deploy of box to {NEW}: Failed",
            "kerp-deploy of box to cccccccc-20260103000000: Failed",
        ]
        assert OLD in bodies[0]["body"] and "rejected" in bodies[1]["body"] and "cannot be pulled" in bodies[2]["body"]

    kerp_scale("box", 3)
    assert len(app.pods()) == 3
    [record, *_] = artifacts("kerp-scale")
    assert "The autoscaler kerp-api (2 to 4) goes on from 3" in str(record.data)
    kerp_logs("box", 5, follow_seconds=2)
    [record, *_] = artifacts("kerp-logs")
    assert str(record.data).count("tick") > 5
    kerp_top("box")
    kerp_check_database("box")
    kerp_history("box")
    [record, *_] = artifacts("kerp-history")
    assert "Ada" in str(record.data) and "undone" in str(record.data)
    with pytest.raises(ConfigurationError, match="has no revision 99 to go back to"):
        kerp_rollback("box", 99)


def test_migrations_pods_anew_a_rollback_the_backup_of_a_day_and_old_logs(
    app: App,
    prefect_server: str,
    database: ClusterSettings,
    connection: psycopg.Connection[tuple[object, ...]],
    server: Instance,
    tmp_path: Path,
) -> None:
    assert database.migrations is not None
    app.settings |= {"migrations": database.migrations.model_dump(), "backup": "kerp"}
    ClusterBlock.of(app.connection.settings).save("box", overwrite=True)
    kerp_migrate("box")
    assert connection.execute("SELECT version, dirty FROM schema_migrations").fetchall() == [(3, False)]
    [record, *_] = artifacts("kerp-migrate")
    assert "3 migrations run; the database is at version 3." in str(record.data) and PASSWORD not in str(record.data)
    with pytest.raises(ConfigurationError, match="there is no way back from it"):
        kerp_migrate("box", "down", 1)

    app.deploy(OLD)
    first = _names(app)
    kerp_restart("box")
    second = _names(app)
    assert not first & second
    [chosen, *_] = sorted(second)
    kerp_delete_pod("box", chosen)
    assert chosen not in _names(app) and len(_names(app)) == 2
    [record, *_] = artifacts("kerp-delete-pod")
    assert f"{chosen} was deleted, and another has taken its place." in str(record.data)

    app.deploy(NEW)
    kerp_rollback("box")
    assert app.image() == OLD
    [record, *_] = artifacts("kerp-rollback")
    assert OLD in str(record.data) and NEW in str(record.data)

    (tmp_path / "password").write_text("of the superuser")
    key = str(pyrage.x25519.Identity.generate().to_public())
    store = FolderStore(path=str(tmp_path / "store"), recipients=(key,), retention=default_retention())
    BackupStore.of(store).save("kerp-nightly", overwrite=True)
    password = f"file:{tmp_path / 'password'}"
    ServerBlock.of(ServerSettings(host="127.0.0.1", port=server.port, password=password, store="kerp-nightly")).save(
        "kerp", overwrite=True
    )
    state = daily_backup("box", return_state=True)
    ServerBlock.delete("kerp")  # else the forms of other tests of this server offer its databases
    assert state.is_completed(), state.message
    assert list((tmp_path / "store").glob(f"kerp/db/{connection.info.dbname}/*/manifest.json"))

    _job(app, "log-cleanup", "echo removing what is older than 90 days; exit 0")
    log_cleanup("box")
    [record, *_] = artifacts("log-cleanup")
    assert "removing what is older than 90 days" in str(record.data)


def _names(app: App) -> set[str]:
    return {each["metadata"]["name"] for each in app.pods()}


def test_a_month_is_closed_once_and_what_fails_says_why(app: App, prefect_server: str) -> None:
    app.settings["approval"] = False
    ClusterBlock.of(app.connection.settings).save("box", overwrite=True)
    app.deploy(OLD)
    _job(app, "month-end-closing", "echo closing $CLOSING_MONTH; exit 0")
    state = _missed(datetime(2024, 2, 29, 14, tzinfo=UTC))
    assert state.is_completed(), state.message
    [record, *_] = artifacts("month-end-closing")
    assert "closing 2024-02" in str(record.data)
    again = month_end_closing("box", "2024-02", return_state=True)
    assert "It had ended well before." in str(again.message)
    assert len(app.cluster.get("-n", app.namespace, "jobs")["items"]) == 1

    _job(app, "month-end-closing", "echo fatal: ledger is open; exit 5")
    failed = month_end_closing("box", "2028-03", return_state=True)
    assert failed.is_failed()
    [record, *_] = artifacts("month-end-closing")
    assert "fatal: ledger is open" in str(record.data) and "BackoffLimitExceeded" in str(record.data)
    with pytest.raises(ConfigurationError, match="is no month; write it as 2026-11"):
        month_end_closing("box", "February")


def _missed(due: datetime) -> State[Any]:
    """A run that was due then and is taken now."""
    with get_client(sync_client=True) as client:
        late = client.create_flow_run(
            month_end_closing, parameters={"cluster": "box"}, state=Scheduled(scheduled_time=due)
        )
    state = run_flow(month_end_closing, flow_run=late, parameters={"cluster": "box"}, return_type="state")
    assert isinstance(state, State)
    return state


def _job(app: App, name: str, script: str) -> None:
    """The job as the manifests have it, with another program in it, and no second try."""
    container = {"name": name, "command": ["/busybox", "sh", "-c", f"/busybox {script}"], "args": None}
    pod = {"restartPolicy": "Never", "containers": [container]}
    patch = {"spec": {"jobTemplate": {"spec": {"backoffLimit": 0, "template": {"spec": pod}}}}}
    app.cluster.kubectl("-n", app.namespace, "patch", "cronjob", name, "-p", json.dumps(patch))


async def _dates(start: datetime, count: int) -> list[str]:
    schedule = CronSchedule(cron="0 23 L * *", timezone="Asia/Seoul")
    return [f"{each.astimezone(UTC):%Y-%m-%d %H:%M}" for each in await schedule.get_dates(count, start=start)]


async def _leap_year() -> list[str]:
    return await _dates(datetime(2028, 1, 1, tzinfo=UTC), 4)


def test_the_last_day_of_each_month_in_seoul_also_in_february() -> None:
    import asyncio

    assert asyncio.run(_leap_year()) == ["2028-01-31 14:00", "2028-02-29 14:00", "2028-03-31 14:00", "2028-04-30 14:00"]
    assert asyncio.run(_dates(datetime(2027, 2, 1, tzinfo=UTC), 1)) == ["2027-02-28 14:00"]


@pytest.mark.parametrize(
    ("due", "month"),
    [
        ("2028-02-29T14:00", "2028-02"),  # 23:00 in Seoul, a leap year
        ("2027-02-28T14:00", "2027-02"),
        ("2026-12-31T14:00", "2026-12"),
        ("2026-12-31T15:30", "2026-12"),  # started by hand half an hour into the new year of Seoul
        ("2026-11-30T13:59", "2026-10"),  # by hand before the month has come to its end
        ("2026-12-05T00:00", "2026-11"),
    ],
)
def test_which_month_a_run_closes(due: str, month: str) -> None:
    plain = datetime.fromisoformat(f"{due}+00:00")
    assert closing_month("", plain) == closing_month("", create_datetime_instance(plain)) == month
