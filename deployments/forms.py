"""Dropdowns: the sources, stores and things that exist, written into a deployment's parameter schema. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy

from blocks.config_block import readable_title
from engine.config.settings import Settings
from engine.sources.registry import SOURCE_TYPES, max_age_hours, type_of
from tasks.forms import Schema, with_assets, with_sets

_ANY, _STORE, _PLATFORM, _CLUSTER = "source", "store", "platform", "cluster"
_CHECK = "check-backups"
_ALIKE = {"to": "server"}
"""Parameters that take the same names as another one."""
_TITLES = {
    "store": "Backup store",
    "what": "Only this part",
    "which": "Set",
    "to": "Restore into",
    "everything": "All of them",
    "into": "What to call it",
    "in_place": "In place of the live ones",
    "cluster": "Application and cluster",
    "version": "Version (tag of the image)",
    "to_revision": "Revision (0: the one before)",
    "follow_seconds": "Follow for so many seconds",
    "confirm": "Live ones that may be replaced",
    "dry_run": "Dry run: show the plan only",
    "max_hours": "Hours each may be old",
    "budget_gib": "How much to read (GiB)",
    "delete": "Really delete",
    "allow_clock_jump": "Allow a clock that jumped",
}
"""Of any other parameter its name, in words."""


def named_parameters() -> tuple[str, ...]:
    """The parameters of flows that are names of the configuration: any source, one of a type (`server`), a store."""
    return (_ANY, *(each.noun for each in SOURCE_TYPES), _PLATFORM, _CLUSTER, _STORE)


def names(settings: Settings, parameter: str, flow: str) -> list[str]:
    """The names a parameter may take, in the order of the file; the first is the default.

    Of sources, a flow that backs up or restores offers those whose type it is for, the check those that somebody waits
    for; any other flow offers all.
    """
    if parameter == _STORE:
        return list(settings.stores)
    if parameter == _PLATFORM:
        return list(settings.platforms)
    if parameter == _CLUSTER:
        return list(settings.clusters)
    of_a_type = {flow for each in SOURCE_TYPES for flow in (each.flow, each.restore_flow)}
    found = ((name, type_of(source)) for name, source in settings.sources.items())
    offered = [
        name
        for name, each in found
        if parameter in (_ANY, each.noun) and (flow not in of_a_type or flow in (each.flow, each.restore_flow))
    ]
    return [name for name in offered if flow != _CHECK or max_age_hours(settings.source(name))]


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


def with_dropdowns(
    schema: Schema, settings: Settings, flow: str, assets: Sequence[str] = (), sets: Sequence[str] = ()
) -> Schema:
    """The schema as a form that offers what exists, with titles that people read.

    Without known `assets` (no source answered) what of it is asked for stays free text. A parameter that no flow has is
    refused by the API itself, in a sentence, and not by a run that crashes.
    """
    result = deepcopy(schema)
    result["additionalProperties"] = False
    for parameter, like in {**{name: name for name in named_parameters()}, **_ALIKE}.items():
        field = result.get("properties", {}).get(parameter)
        found = names(settings, like, flow)
        if field is None or not found:
            continue
        field["enum"] = ([""] if field.get("default") == "" else []) + found
        field["default"] = field["enum"][0]
    for parameter, field in result.get("properties", {}).items():
        field["title"] = _title(parameter, settings, flow)
    # The form says "(Optional)" of what is not required; each deployment has a value for these.
    if required := sorted(default_parameters(schema, settings, flow)):
        result["required"] = required
    result = with_sets(result, sets)
    return with_assets(result, assets) if assets else result


def _title(parameter: str, settings: Settings, flow: str) -> str:
    """What the form calls a parameter; a source is called as its type, where there is one type only."""
    if parameter in (_ANY, *(each.noun for each in SOURCE_TYPES)):
        titles = {type_of(settings.sources[name]).title for name in names(settings, parameter, flow)}
        return titles.pop() if len(titles) == 1 else "Source"
    return _TITLES.get(parameter) or readable_title(parameter)


def with_services(schema: Schema, versions: Mapping[str, Sequence[str]]) -> Schema:
    """The schema of a form that names services of a platform, offering those there are, and their versions on the host."""
    result = deepcopy(schema)
    fields = result.get("properties", {})
    if not versions or "platform" not in fields:
        return result
    if "service" in fields:
        fields["service"] |= {
            "enum": list(versions),
            "default": fields["service"].get("default") or next(iter(versions)),
        }
    if "services" in fields:
        fields["services"]["items"] = {"type": "string", "enum": list(versions)}
    if "versions" in fields:
        offered = [f"{service}={version}" for service, found in versions.items() for version in found]
        fields["versions"]["items"] = {"type": "string", "enum": offered}
    return result
