"""What is deployed: prefect.yaml, completed with what platform-ops.toml and the server know. Pure.

Redeploying with the plain command re-activates what an operator paused and drops schedules an operator
added, because they are not in the file. The completed document carries both, so there is no moment in
which a paused schedule is active.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from deployments.forms import default_parameters, named_parameters, names
from engine.config.settings import Settings
from tasks.forms import Schema

Document = dict[str, Any]
_NIGHTLY, _DAILY = "nightly-backup", "daily-backup"


@dataclass(frozen=True, slots=True)
class Scheduled:
    """One schedule as the Prefect server has it, in the words of prefect.yaml.

    `spec` holds `cron`, `interval` or `rrule` with `timezone` and the like.
    """

    slug: str | None
    active: bool
    parameters: dict[str, Any]
    spec: dict[str, Any]

    def document(self) -> Document:
        entry: Document = {**self.spec, "active": self.active, "parameters": self.parameters}
        return entry if self.slug is None else {**entry, "slug": self.slug}


@dataclass(frozen=True, slots=True)
class Existing:
    """A deployment as the Prefect server has it."""

    paused: bool
    schedules: tuple[Scheduled, ...]


def scheduled_for(schema: Schema) -> str | None:
    """The parameter a deployment is scheduled for, once for each of its values."""
    return next((name for name in named_parameters() if name in schema.get("properties", {})), None)


def scheduled_values(settings: Settings, parameter: str, flow: str) -> list[str]:
    """What a deployment has a schedule for. The database of a cluster's application is backed up by its daily-backup, and
    not by nightly-backup too; jobs of an application are scheduled where its settings say so."""
    found = names(settings, parameter, flow)
    if flow == _NIGHTLY:
        return [name for name in found if name not in {each.backup for each in settings.clusters.values()}]
    if flow == _DAILY:
        return [name for name in found if settings.clusters[name].backup]
    if parameter == "cluster":
        return [name for name in found if settings.clusters[name].has_schedules]
    return found


def is_wanted(schema: Schema, settings: Settings, flow: str) -> bool:
    """Whether a deployment has anything to be about: one that changes platforms needs a platform, one of a type of source
    such a source."""
    named = (each for each in named_parameters() if each in schema.get("properties", {}))
    return all(names(settings, each, flow) for each in named)


def completed(
    document: Document, schemas: dict[str, Schema], settings: Settings, existing: dict[str, Existing], lists: str = ""
) -> Document:
    """prefect.yaml with parameters, a schedule for each source or store, and what operators changed. `lists`: what each
    description says of where the stored sets are listed."""
    result = deepcopy(document)
    for entry in result["deployments"]:
        schema = schemas[entry["name"]]
        found = existing.get(entry["name"])
        entry["parameters"] = {
            **entry.get("parameters", {}),
            **default_parameters(schema, settings, entry["name"]),
        }
        if lists:
            entry["description"] = f"{entry['description']}\n\n{lists}"
        entry["schedules"] = _schedules(entry, scheduled_for(schema), settings, found)
        if found is not None:
            entry["paused"] = found.paused
    return result


def _schedules(entry: Document, parameter: str | None, settings: Settings, found: Existing | None) -> list[Document]:
    from_file = entry.get("schedules", [])
    values = scheduled_values(settings, parameter, entry["name"]) if parameter else []
    planned = [_for_name(s, parameter, value) for s in from_file for value in values] if parameter else from_file
    if found is None:
        return planned
    by_slug = {schedule.slug: schedule for schedule in found.schedules if schedule.slug}
    for schedule in planned:
        if schedule["slug"] in by_slug:
            schedule["active"] = by_slug[schedule["slug"]].active
    ours = {schedule["slug"] for schedule in planned} | stale_slugs(entry, parameter, settings, found)
    return planned + [s.document() for s in found.schedules if s.slug is None or s.slug not in ours]


def _for_name(schedule: Document, parameter: str, value: str) -> Document:
    parameters = {**schedule.get("parameters", {}), parameter: value}
    return {**schedule, "slug": f"{schedule['slug']}-{value}", "parameters": parameters}


def stale_slugs(entry: Document, parameter: str | None, settings: Settings, found: Existing) -> set[str]:
    """Slugs made for a source or store that is in the file no more, and those of a plain `prefect deploy`.

    `entry` is as in the file.
    """
    if parameter is None:
        return set()
    bases = {schedule["slug"] for schedule in entry.get("schedules", [])}
    gone = [(s.slug, s.parameters.get(parameter)) for s in found.schedules if s.slug]
    return {
        slug
        for slug, value in gone
        if slug in bases
        or (
            value not in scheduled_values(settings, parameter, entry["name"])
            and slug in {f"{base}-{value}" for base in bases}
        )
    }
