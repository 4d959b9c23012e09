"""Dropdowns: the sources, stores and things that exist, written into a deployment's parameter schema. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

from engine.config.settings import Settings
from engine.sources.registry import SOURCE_TYPES, type_of
from tasks.forms import Schema, with_assets

_ANY, _STORE = "source", "store"


def named_parameters() -> tuple[str, ...]:
    """The parameters of flows that are names of the configuration: any source, one of a type (`server`), a store."""
    return (_ANY, *(each.noun for each in SOURCE_TYPES), _STORE)


def names(settings: Settings, parameter: str, flow: str) -> list[str]:
    """The names a parameter may take, in the order of the file; the first is the default.

    Of sources, a flow that backs up offers those whose type it is for; any other flow offers all.
    """
    if parameter == _STORE:
        return list(settings.stores)
    backs_up = {each.flow for each in SOURCE_TYPES}
    found = ((name, type_of(source)) for name, source in settings.sources.items())
    return [
        name for name, each in found if parameter in (_ANY, each.noun) and (flow not in backs_up or each.flow == flow)
    ]


def default_parameters(schema: Schema, settings: Settings, flow: str) -> dict[str, str]:
    """What a deployment's named parameters start with: the first source, the first store.

    A parameter whose own default is empty (`store: the source's own`) keeps it.
    """
    properties = schema.get("properties", {})
    return {
        parameter: found[0]
        for parameter in named_parameters()
        if parameter in properties
        and properties[parameter].get("default") != ""
        and (found := names(settings, parameter, flow))
    }


def with_dropdowns(schema: Schema, settings: Settings, flow: str, assets: Sequence[str] = ()) -> Schema:
    """The schema with an enum on each named parameter, so that the form offers what exists.

    Without known `assets` (no source answered) what of it is asked for stays free text.
    """
    result = deepcopy(schema)
    for parameter in named_parameters():
        field = result.get("properties", {}).get(parameter)
        found = names(settings, parameter, flow)
        if field is None or not found:
            continue
        field["enum"] = ([""] if field.get("default") == "" else []) + found
        field["default"] = field["enum"][0]
    return with_assets(result, assets) if assets else result
