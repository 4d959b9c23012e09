"""Dropdowns: the servers, stores and databases that exist, written into a deployment's parameter schema. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

from engine.config.settings import Settings
from tasks.forms import Schema, with_databases

NOUNS = {"server": "servers", "store": "stores"}
"""A flow's parameter and the part of platform-ops.toml whose names it takes."""


def names(settings: Settings, parameter: str) -> list[str]:
    """The names a parameter may take, in the order of the file; the first is the default."""
    return list(getattr(settings, NOUNS[parameter]))


def default_parameters(schema: Schema, settings: Settings) -> dict[str, str]:
    """What a deployment's noun parameters start with: the first server, the first store.

    A parameter whose own default is empty (`store: the server's own`) keeps it.
    """
    properties = schema.get("properties", {})
    return {
        parameter: names(settings, parameter)[0]
        for parameter in NOUNS
        if parameter in properties and properties[parameter].get("default") != ""
    }


def with_dropdowns(schema: Schema, settings: Settings, databases: Sequence[str] = ()) -> Schema:
    """The schema with an enum on each noun parameter, so that the form offers what exists.

    Without known `databases` (no server answered) their names stay free text.
    """
    result = deepcopy(schema)
    for parameter in NOUNS:
        field = result.get("properties", {}).get(parameter)
        if field is None:
            continue
        empty_allowed = field.get("default") == ""
        field["enum"] = ([""] if empty_allowed else []) + names(settings, parameter)
        field["default"] = field["enum"][0]
    return with_databases(result, databases) if databases else result
