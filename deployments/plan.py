"""What is deployed: prefect.yaml, completed with what platform-ops.toml and the server know. Pure.

Redeploying with the plain command re-activates what an operator paused and drops schedules an operator
added, because they are not in the file. The completed document carries both, so there is no moment in
which a paused schedule is active.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from deployments.forms import NOUNS, default_parameters, names
from engine.config.settings import Settings
from tasks.forms import Schema

Document = dict[str, Any]


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


def noun_of(schema: Schema) -> str | None:
    """The parameter a deployment is scheduled for, once for each of its values."""
    return next((noun for noun in NOUNS if noun in schema.get("properties", {})), None)


def completed(
    document: Document, schemas: dict[str, Schema], settings: Settings, existing: dict[str, Existing]
) -> Document:
    """prefect.yaml with parameters, a schedule for each server or store, and what operators changed."""
    result = deepcopy(document)
    for entry in result["deployments"]:
        schema = schemas[entry["name"]]
        found = existing.get(entry["name"])
        entry["parameters"] = {**entry.get("parameters", {}), **default_parameters(schema, settings)}
        entry["schedules"] = _schedules(entry, noun_of(schema), settings, found)
        if found is not None:
            entry["paused"] = found.paused
    return result


def _schedules(
    entry: Document, noun: str | None, settings: Settings, found: Existing | None
) -> list[Document]:
    from_file = entry.get("schedules", [])
    values = names(settings, noun) if noun else []
    planned = [_for_noun(s, noun, value) for s in from_file for value in values] if noun else from_file
    if found is None:
        return planned
    by_slug = {schedule.slug: schedule for schedule in found.schedules if schedule.slug}
    for schedule in planned:
        if schedule["slug"] in by_slug:
            schedule["active"] = by_slug[schedule["slug"]].active
    ours = {schedule["slug"] for schedule in planned} | stale_slugs(entry, noun, settings, found)
    return planned + [s.document() for s in found.schedules if s.slug is None or s.slug not in ours]


def _for_noun(schedule: Document, noun: str, value: str) -> Document:
    parameters = {**schedule.get("parameters", {}), noun: value}
    return {**schedule, "slug": f"{schedule['slug']}-{value}", "parameters": parameters}


def stale_slugs(entry: Document, noun: str | None, settings: Settings, found: Existing) -> set[str]:
    """Slugs made for a server or store that is in the file no more, and those of a plain `prefect deploy`.

    `entry` is as in the file.
    """
    if noun is None:
        return set()
    bases = {schedule["slug"] for schedule in entry.get("schedules", [])}
    gone = [(s.slug, s.parameters.get(noun)) for s in found.schedules if s.slug]
    return {
        slug
        for slug, value in gone
        if slug in bases
        or (value not in names(settings, noun) and slug in {f"{base}-{value}" for base in bases})
    }


def at_once(entry: Document, noun: str | None, settings: Settings) -> int | None:
    """How many runs of a deployment go at the same time, where it has a queue of its own: one, or one for each server.

    With one for several servers, the second server's night would wait for the first.
    """
    if "work_queue_name" not in entry["work_pool"]:
        return None
    return max(1, len(names(settings, noun))) if noun and entry.get("schedules") else 1
