"""Forms offer what there are sets of: as of the last `apply`, and what each run has stored or let go since."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from heapq import nlargest
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags

from engine.repository.stored import NEWEST, StoredSet, by_age
from engine.sources.registry import kinds
from tasks.running import TAG

OFFERED_SETS = 300
"""The newest so many: more than a month of backup runs of several sources."""

Schema = dict[str, Any]
"""A deployment's parameter schema, of which Prefect makes its form."""


def with_assets(schema: Schema, assets: Iterable[str]) -> Schema:
    """The same schema, offering these (`cluster`, `db/kohub`) where one thing of a source is asked for (`what`), and
    their names where several of a kind are (`databases`), and where they are to be confirmed."""
    result, known = deepcopy(schema), sorted(assets)
    fields = result.get("properties", {})
    if "what" in fields:
        fields["what"]["enum"] = ["", *known]
    for kind in kinds():
        names = [name for each, _, name in (one.partition("/") for one in known) if each == kind.name and name]
        if names and f"{kind.noun}s" in fields:  # an empty list would offer nothing, for ever
            for field in {f"{kind.noun}s", "confirm"} & fields.keys():
                fields[field]["items"] = {"type": "string", "enum": names}
    return result


def with_sets(schema: Schema, sets: Sequence[str]) -> Schema:
    """The same schema, offering these sets after the words an operator may give (`which`), and room for any other."""
    result = deepcopy(schema)
    if (field := result.get("properties", {}).get("which")) is not None:
        field.pop("type", None)
        listed = {"title": "From the list", "type": "string", "enum": [*NEWEST, *sets]}
        field["anyOf"] = [listed, {"title": "Another", "type": "string"}]
    return result


def choices(sets: Iterable[StoredSet]) -> tuple[str, ...]:
    """Sets as forms offer them, the newest first: `20261129T231402Z-73f6a7cb64 cluster of platform, proven`."""
    newest = nlargest(OFFERED_SETS, sets, key=by_age)
    return tuple(f"{one.key.set_id} {one.key.asset.label} of {one.key.source}, {one.state}" for one in newest)


def chosen(which: str) -> str:
    """The set that was chosen: its id, of what the form says of it."""
    return which.split(" ")[0] if which else which


def with_more_assets(schema: Schema, assets: Iterable[str]) -> Schema:
    """The same schema, offering these too. Free text stays free text, and nothing that is offered goes."""
    fields = schema.get("properties", {})
    offered = {one for one in fields.get("what", {}).get("enum", ()) if one}
    for kind in kinds():
        names = (fields.get(f"{kind.noun}s", {}).get("items") or {}).get("enum", ())
        offered |= {f"{kind.name}/{name}" for name in names}
    return with_assets(schema, {*offered, *assets}) if offered else schema


def offer_in_forms(assets: Sequence[str], sets: Sequence[str]) -> None:
    """Let the forms of our deployments offer these things too, and exactly these sets.

    Raises:
        httpx.HTTPError: the server does not answer, or refuses.
    """
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
    with get_client(sync_client=True) as client:
        for deployment in client.read_deployments(deployment_filter=ours):
            before = deployment.parameter_openapi_schema or {}
            after = with_sets(with_more_assets(before, assets), sets)
            if after != before:
                change = DeploymentUpdate.model_validate({"parameter_openapi_schema": after})
                client.update_deployment(deployment.id, change)
