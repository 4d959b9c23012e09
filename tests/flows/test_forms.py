"""A database that was made since `apply` can be chosen once a night has stored it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client

from flows.nightly_backup import nightly_backup
from tasks.running import TAG
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


def test_a_night_offers_the_databases_it_stored(platform: Platform) -> None:
    fields = {
        "what": {**TEXT, "enum": ["", "db/desk", "db/gone"]},
        "databases": {"type": "array", "items": {"type": "string", "enum": ["desk", "gone"]}},
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

        offered = ["desk", "gone", "hub", "postgres", "template1"]
        assert form(ours)["what"] == {**TEXT, "enum": ["", "cluster", *(f"db/{name}" for name in offered)]}
        assert form(ours)["databases"]["items"]["enum"] == offered
        assert form(free_text) == {"what": TEXT}
        assert form(another) == fields
