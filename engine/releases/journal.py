"""What a change of a platform has done so far, on the host: the next run finishes or reverts it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from pydantic import Field, ValidationError

from engine.errors import OperationFailed
from engine.releases.plan import Plan
from engine.releases.site import Site
from engine.settings_model import Frozen

PATH = "run/journal.json"
ACCEPT = "accept"
"""From this step on the new release is the one that runs: what is left is finished, what is before is reverted."""


class Journal(Frozen):
    """`begun` are the steps in their order, the last of which may be half done; `done` those that ended. `old` are the ids of
    the old containers of rolling services."""

    plan: Plan
    owner: str
    started: datetime
    old: Mapping[str, str] = Field(default={})
    nginx_before: str = ""
    begun: tuple[str, ...] = ()
    done: tuple[str, ...] = ()

    @property
    def accepted(self) -> bool:
        return ACCEPT in self.begun

    def begins(self, step: str) -> Journal:
        return self.model_copy(update={"begun": (*self.begun, step) if step not in self.begun else self.begun})

    def ended(self, step: str) -> Journal:
        return self.model_copy(update={"done": (*self.done, step)})


def new_journal(plan: Plan, owner: str, old: Mapping[str, str], nginx_before: str) -> Journal:
    return Journal(plan=plan, owner=owner, started=datetime.now(UTC), old=old, nginx_before=nginx_before)


def write_journal(site: Site, journal: Journal) -> None:
    site.write(PATH, (journal.model_dump_json(indent=1) + "\n").encode())


def read_journal(site: Site) -> Journal | None:
    """What a killed run left; None where everything was ended.

    Raises:
        OperationFailed: it is damaged.
    """
    found = site.read(PATH)
    if found is None:
        return None
    try:
        return Journal.model_validate_json(found)
    except ValidationError:
        raise OperationFailed(
            f"{site.path(PATH)}{site.host.note} is damaged; look at what runs (platformctl status), then move it away."
        ) from None


def close_journal(site: Site) -> None:
    site.remove(PATH)
