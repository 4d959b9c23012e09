"""Deploys as flow runs: approval by a person in the UI, the record, a run that is killed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import FlowRun, StateType

from blocks import BackupStore, Platform, source_block
from engine.config.settings import FolderStore
from engine.errors import OperationFailed
from engine.releases import records
from engine.sources.images.settings import ImagesSettings
from engine.sources.images.source_type import IMAGES
from flows.deploy import deploy
from flows.platform_health import platform_health
from flows.rollback import rollback
from tests.engine.releases.small_platform import CANARY, SmallPlatform
from tests.flows.test_flows import artifacts

pytestmark = [pytest.mark.installation, pytest.mark.xdist_group("releases")]
SECONDS = 120.0
_PAUSED = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PAUSED])))


@pytest.fixture(scope="module")
def blocks(small: SmallPlatform, prefect_server: str) -> Iterator[SmallPlatform]:
    """The platform's blocks; `asking` is the same platform where a person has to approve."""
    Platform.of(small.settings).save("small", overwrite=True)
    Platform.of(small.settings.model_copy(update={"approval": True, "approval_minutes": SECONDS / 60})).save(
        "asking", overwrite=True
    )
    BackupStore.of(FolderStore(path=str(small.store))).save("records", overwrite=True)
    away = FolderStore(path=str(small.directory / "away"), mount=str(small.directory))  # where nothing is mounted
    BackupStore.of(away).save("away", overwrite=True)
    source_block(IMAGES).of(ImagesSettings(platform="asking", store="away")).save("images-of-asking", overwrite=True)
    yield small


class Answering:
    """Answers the form of the run that waits for approval, as a person does in the UI."""

    def __init__(self, answer: dict[str, str]) -> None:
        self.answer, self.requested = answer, ""
        self._thread = threading.Thread(target=self._wait, name="approver")

    def _wait(self) -> None:
        deadline = time.monotonic() + SECONDS
        with get_client(sync_client=True) as client:
            while time.monotonic() < deadline:
                waiting = client.read_flow_runs(flow_run_filter=_PAUSED)
                if waiting:
                    self.requested = _wanted(waiting[0])
                    client.resume_flow_run(waiting[0].id, run_input=self.answer)
                    return
                time.sleep(0.5)

    def __enter__(self) -> Answering:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._thread.join()


def _wanted(run: FlowRun) -> str:
    details = run.state.state_details.run_input_keyset if run.state else None
    assert details is not None
    with get_client(sync_client=True) as client:
        return str(client._client.get(f"/flow_runs/{run.id}/input/{details['description']}").json())


def test_an_approved_plan_is_carried_out_and_recorded(blocks: SmallPlatform) -> None:
    with Answering({"decision": "approve", "approved_by": "Ada"}) as person:
        state = deploy("asking", ("kohub-backend=1.1.0",), return_state=True)
    assert state.is_completed(), state.message
    assert blocks.version("kohub-backend") == "1.1.0"
    assert "Plan" in person.requested and "kohub-backend" in person.requested and CANARY not in person.requested
    release = records.current(blocks.platform().site)
    assert release is not None and release.approved_by == "Ada"
    [record, *_] = artifacts("deploy")
    text = str(record.data)
    assert "Ada" in text and "1.1.0" in text and "/api/" in text and CANARY not in text
    assert "The release runs; images-of-asking was not stored after it" in text
    assert blocks.leftovers() == []


@pytest.mark.parametrize("answer", [{}, {"decision": "reject", "approved_by": "Ada"}])
def test_a_form_that_is_submitted_as_it_came_rejects(blocks: SmallPlatform, answer: dict[str, str]) -> None:
    before = blocks.standing()
    with Answering(answer), pytest.raises(OperationFailed, match=r"rejected.*nothing was changed"):
        deploy("asking", ("kohub-frontend=1.1.0",))
    assert blocks.standing() == before
    assert blocks.leftovers() == []


def test_a_rollback_and_a_look_at_it(blocks: SmallPlatform) -> None:
    rollback("small")
    assert blocks.version("kohub-backend") == "1.0.0"
    state = platform_health("small", return_state=True)
    assert state.is_completed() and "4 of 4 services well, 3 of 3 routes well" in str(state.message)
