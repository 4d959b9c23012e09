"""Forms offer the databases there are: those of the last `apply`, and each that a night has stored since."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any

import httpx
from prefect import get_run_logger, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags

from tasks.running import TAG

Schema = dict[str, Any]
"""A deployment's parameter schema, of which Prefect makes its form."""


def with_databases(schema: Schema, databases: Sequence[str]) -> Schema:
    """The same schema, offering these databases where a database is asked for."""
    result = deepcopy(schema)
    fields = result.get("properties", {})
    if "database" in fields:
        fields["database"]["enum"] = ["", *databases]
    if "databases" in fields:
        fields["databases"]["items"] = {"type": "string", "enum": list(databases)}
    return result


def with_more_databases(schema: Schema, databases: Iterable[str]) -> Schema:
    """The same schema, offering these too. Free text stays free text, and nothing that is offered goes."""
    fields = schema.get("properties", {})
    offered = (fields.get("databases", {}).get("items") or fields.get("database", {})).get("enum")
    return with_databases(schema, sorted({*offered, *databases} - {""})) if offered else schema


@task(task_run_name="offer new databases in the forms")
def offer_in_forms(databases: Sequence[str]) -> None:
    """Let the forms of our deployments offer these databases too; one that cannot be changed spoils nothing."""
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
    try:
        with get_client(sync_client=True) as client:
            for deployment in client.read_deployments(deployment_filter=ours):
                before = deployment.parameter_openapi_schema or {}
                after = with_more_databases(before, databases)
                if after != before:
                    change = DeploymentUpdate.model_validate({"parameter_openapi_schema": after})
                    client.update_deployment(deployment.id, change)
    except httpx.HTTPError as error:
        get_run_logger().warning(
            "The forms do not offer new databases (%s): apply again.", type(error).__name__
        )
