"""Forms offer what there are sets of: as of the last `apply`, and what each backup has stored since."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any

import httpx
from prefect import get_run_logger, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags

from engine.sources.registry import kinds
from tasks.artifacts import BackupRecord
from tasks.running import TAG

Schema = dict[str, Any]
"""A deployment's parameter schema, of which Prefect makes its form."""


def with_assets(schema: Schema, assets: Iterable[str]) -> Schema:
    """The same schema, offering these (`cluster`, `db/kohub`) where one thing of a source is asked for (`what`), and
    their names where several of a kind are (`databases`)."""
    result, known = deepcopy(schema), sorted(assets)
    fields = result.get("properties", {})
    if "what" in fields:
        fields["what"]["enum"] = ["", *known]
    for kind in kinds():
        if (field := fields.get(f"{kind.noun}s")) is not None:
            names = [name for each, _, name in (one.partition("/") for one in known) if each == kind.name and name]
            if names:  # an empty list would offer nothing, for ever
                field["items"] = {"type": "string", "enum": names}
    return result


def with_more_assets(schema: Schema, assets: Iterable[str]) -> Schema:
    """The same schema, offering these too. Free text stays free text, and nothing that is offered goes."""
    fields = schema.get("properties", {})
    offered = {one for one in fields.get("what", {}).get("enum", ()) if one}
    for kind in kinds():
        names = (fields.get(f"{kind.noun}s", {}).get("items") or {}).get("enum", ())
        offered |= {f"{kind.name}/{name}" for name in names}
    return with_assets(schema, {*offered, *assets}) if offered else schema


def offer_what_is_stored(record: BackupRecord) -> None:
    """Let the forms offer what a run has stored, when all of it is."""
    if record.run and not record.run.result.failures:
        stored = [one.key for one in record.run.result.stored]
        offer_in_forms([f"{key.kind}/{key.name}" if key.name else key.kind for key in stored])


@task(task_run_name="offer new things in the forms")
def offer_in_forms(assets: Sequence[str]) -> None:
    """Let the forms of our deployments offer these too; one that cannot be changed spoils nothing."""
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
    try:
        with get_client(sync_client=True) as client:
            for deployment in client.read_deployments(deployment_filter=ours):
                before = deployment.parameter_openapi_schema or {}
                after = with_more_assets(before, assets)
                if after != before:
                    change = DeploymentUpdate.model_validate({"parameter_openapi_schema": after})
                    client.update_deployment(deployment.id, change)
    except httpx.HTTPError as error:
        get_run_logger().warning("The forms do not offer new things (%s): apply again.", type(error).__name__)
