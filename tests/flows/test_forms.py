"""A database that was made since `apply` can be chosen once a backup run has stored it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from engine.repository.catalogue import catalogue
from engine.repository.stored import NEWEST
from flows.nightly_backup import nightly_backup
from flows.restore_drill import restore_drill
from flows.verify_backups import verify_backups
from tasks.running import TAG
from tests.blocks.made import WHOLE
from tests.flows.conftest import Platform

pytestmark = pytest.mark.xdist_group("flows")

TEXT: dict[str, Any] = {"type": "string", "default": ""}


@contextmanager
def deployed(client: SyncPrefectClient, tag: str, fields: dict[str, Any]) -> Iterator[UUID]:
    flow = client.create_flow_from_name("any")
    schema = {"type": "object", "properties": fields}
    made = client.create_deployment(flow, f"form-{tag}-{len(fields)}", parameter_openapi_schema=schema, tags=[tag])
    yield made
    client.delete_deployment(made)


def test_a_backup_run_offers_the_databases_it_stored(platform: Platform) -> None:
    fields = {
        "what": {**TEXT, "enum": ["", "db/desk", "db/gone"]},
        "databases": {"type": "array", "items": {"type": "string", "enum": ["desk", "gone"]}},
        "which": {"type": "string", "enum": ["newest", "20200101T000000Z-gone"]},
    }
    with (
        get_client(sync_client=True) as client,
        deployed(client, TAG, fields) as ours,
        deployed(client, TAG, {"what": TEXT}) as free_text,
        deployed(client, "other", fields) as another,
    ):
        nightly_backup("platform")

        def form(deployment: UUID) -> Any:
            return (client.read_deployment(deployment).parameter_openapi_schema or {})["properties"]

        newest = catalogue(platform.repository, "platform").assets[WHOLE][0].key.set_id
        offered = ["desk", "gone", "hub", "postgres", "template1"]
        assert form(ours)["what"] == {**TEXT, "enum": ["", "cluster", *(f"db/{name}" for name in offered)]}
        assert form(ours)["databases"]["items"]["enum"] == offered
        listed, free = form(ours)["which"]["anyOf"]
        assert listed["enum"][:4] == list(NEWEST)
        assert f"{newest} cluster of platform, recorded" in listed["enum"]
        assert "20200101T000000Z-gone" not in listed["enum"]
        assert free == {"title": "Another", "type": "string"}
        assert form(free_text) == {"what": TEXT}
        assert form(another) == fields
        stored = list_in_the_ui(client)
        assert newest in stored
        assert "| cluster | recorded |" in stored
        assert f"| platform | db desk | {newest.partition('-')[0]}" in list_in_the_ui(client, "all-that-is-kept")
        restore_drill("platform", which=f"{newest} cluster of platform, recorded")
        verify_backups("nightly")
        assert len(re.findall(r"\| cluster \| proven \|", list_in_the_ui(client))) == 1


def list_in_the_ui(client: SyncPrefectClient, key: str = "stored-sets-platform") -> str:
    """One list for each source, and one of all that is kept; renewed and not made again by each run."""
    chosen = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
    [found] = client.read_artifacts(artifact_filter=chosen)
    assert found.flow_run_id is None
    return str(found.data)
