"""Alarms that really ring: Prefect's own automations and a webhook on 127.0.0.1."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import tags
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State, StateType
from prefect.events.schemas.automations import AutomationCore, EventTrigger
from prefect.states import Crashed, Pending, Running, Scheduled

from blocks import BackupStore
from deployments.automations import alert_block, silence, wanted
from engine.config.settings import FolderStore
from engine.errors import OperationFailed
from engine.repository.keys import Asset
from engine.repository.repository import open_repository
from flows.check_backups import check_backups
from flows.verify_backups import verify_backups
from tasks.running import TAG
from tasks.watching import Shown, announce
from tests.engine.repository.made import a_key, store_set
from tests.webhook import Webhook, webhook

pytestmark = pytest.mark.xdist_group("flows")

WITHIN = timedelta(seconds=20)
PATIENCE_SECONDS = 120.0


@pytest.fixture
def alerts(prefect_server: str) -> Iterator[Webhook]:
    """A notification block called `alerts` that leads to a webhook; automations are gone afterwards."""
    with webhook() as heard:
        block = CustomWebhookNotificationBlock(
            name="alerts",
            url=heard.address,
            method="POST",
            json_data={"text": "{{subject}} :: {{body}}"},
        )
        block.save("alerts", overwrite=True)
        yield heard
        with get_client(sync_client=True) as client:
            for automation in client.read_automations():
                client.delete_automation(automation.id)
        CustomWebhookNotificationBlock.delete("alerts")


def reported() -> UUID:
    with get_client(sync_client=True) as client:
        block = alert_block(client)
    assert block is not None
    return block


def wait_for(what: Callable[[], object], tick: Callable[[], None] = lambda: None) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not what():
        assert time.monotonic() < deadline
        tick()
        time.sleep(0.5)


def whole(source: str) -> Asset:
    return Asset(source, "cluster", "")


def a_store(folder: Path, server: str) -> str:
    """A store called as the server, with one small set of it."""
    settings = FolderStore(path=str(folder / server))
    store_set(open_repository(server, settings).store, a_key("2026-02-07", source=server))
    BackupStore.of(settings).save(server, overwrite=True)
    return server


def test_silence_rings_and_a_verdict_keeps_it_quiet(alerts: Webhook, tmp_path: Path) -> None:
    block = reported()
    with get_client(sync_client=True) as client:
        for server in ("never", "once", "often"):
            client.create_automation(silence(server, "cluster", "verified", block, WITHIN))
        for server in ("never", "often"):
            client.create_automation(silence(server, "cluster", "proven", block, WITHIN))
        for name in ("one", "other"):
            client.create_automation(silence("things", "db", "proven", block, WITHIN, name))
    # What another run did, or another server's, or a drill's, is no verdict of these.
    verify_backups(a_store(tmp_path, "other"))
    announce("proven", [whole("once")])
    announce("verified", [Asset("once", "db", "app")])
    verify_backups(a_store(tmp_path, "often"))
    verify_backups(a_store(tmp_path, "once"))
    since = time.monotonic()

    def heard(shown: Shown, server: str) -> list[str]:
        return alerts.bodies(f"no cluster of {server} {shown} for 0.")

    def both_often() -> None:
        announce("verified", [whole("often")])
        announce("proven", [whole("often"), Asset("things", "db", "one")])

    silent: list[tuple[Shown, str]] = [("verified", "never"), ("verified", "once"), ("proven", "never")]
    wait_for(lambda: all(heard(*each) for each in silent), tick=both_often)
    assert heard("verified", "often") == heard("proven", "often") == []
    wait_for(lambda: alerts.bodies("no db other of things proven for 0."), tick=both_often)
    assert alerts.bodies("no db one of things proven") == []  # what was shown of one says nothing of another
    [first, *_] = [call for call in alerts.calls if "cluster of once" in call.body]
    assert first.at - since > WITHIN.total_seconds() - 1
    assert "Is a worker running, is the schedule on?" in first.body


def soon(name: str, seconds: float) -> AutomationCore:
    """The wanted automation whose name ends so, that acts after so many seconds."""
    [found] = [one for one in wanted(None, {}) if one.name.endswith(name)]
    assert isinstance(found.trigger, EventTrigger)
    trigger = found.trigger.model_copy(update={"within": timedelta(seconds=seconds)})
    return found.model_copy(update={"trigger": trigger})


def test_a_lost_host_s_run_gives_its_place_back_before_its_first_heartbeat_too(alerts: Webhook) -> None:
    """Taken only, or begun: both are called crashed. One that waits for its time is no such run, nor another's."""
    with get_client(sync_client=True) as client:
        client.create_automation(soon("end runs that never began", 10))
        client.create_automation(soon("end zombie runs", 10))

        def made(*states: State[Any], tag: str = TAG) -> UUID:
            run = client.create_flow_run(check_backups, tags=[tag]).id
            for state in states:
                client.set_flow_run_state(run, state, force=True)
            return run

        others = [made(Pending(), tag="other"), made(Pending(), Running(), tag="other")]
        put_back = made(Pending(), Scheduled())
        taken = made(Pending())
        begun = made(Pending(), Running())

        def state(run: UUID) -> State[Any]:
            found = client.read_flow_run(run).state
            assert found is not None
            return found

        wait_for(lambda: state(taken).type is state(begun).type is StateType.CRASHED)
        assert "A worker took it and it never began" in (state(taken).message or "")
        assert "No heartbeat" in (state(begun).message or "")
        assert [state(run).type for run in (put_back, *others)] == [
            StateType.SCHEDULED,
            StateType.PENDING,
            StateType.RUNNING,
        ]


def test_a_crashed_run_is_told(alerts: Webhook) -> None:
    with get_client(sync_client=True) as client:
        for automation in wanted(reported(), {}):
            client.create_automation(automation)
        for tag in ("other", TAG):
            run = client.create_flow_run(check_backups, parameters={"source": "hub"}, tags=[tag]).id
            client.set_flow_run_state(run, Crashed(message=f"Its host of {tag} is gone."), force=True)
    wait_for(lambda: alerts.calls)
    [body] = {call.body for call in alerts.calls}  # Prefect delivers at least once: twice when its database was busy
    assert "check-backups of hub: Crashed" in body
    assert "Its host of platform-ops is gone." in body


def test_a_failed_run_is_told_with_its_sentence(alerts: Webhook, tmp_path: Path) -> None:
    with get_client(sync_client=True) as client:
        for automation in wanted(reported(), {}):
            client.create_automation(automation)
    store = a_store(tmp_path, "damaged")
    [file] = (tmp_path / "damaged").rglob("app.dump.gz")
    file.write_bytes(b"canary" * 400)
    with tags(TAG), pytest.raises(OperationFailed, match=r"app\.dump\.gz"):
        verify_backups(store)
    wait_for(lambda: alerts.calls)
    with tags(TAG):
        verify_backups(a_store(tmp_path, "good"))
    time.sleep(3)
    [text] = {json.loads(call.body)["text"] for call in alerts.calls}  # at least once, see above
    assert re.fullmatch(
        r"verify-backups of damaged: Failed :: verify-backups / damaged \d\d-\d\d \d\d:\d\d is Failed\.\n"
        r"OperationFailed: damaged/cluster/20260207T000000Z-abcd1234 in .+ differs from its manifest: "
        r"app\.dump\.gz has 2400 bytes where the manifest says 2000; restore another set, "
        r"`list` shows which are good\.\n?(http://\S+)?",
        text,
    )
