"""What was released, kept in the namespace itself: a ConfigMap for each release. It is the journal, too: one that has
begun and not ended was cut off."""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal

from pydantic import ValidationError

from engine.errors import PlatformOpsError
from engine.kubernetes.connection import Connection
from engine.kubernetes.objects import CONFIG_MAPS, Object, digest, name_of, template_of
from engine.settings_model import Frozen

KEPT = 20
"""So many records stay; a Deployment keeps its last 10 revisions."""
_LABEL, _BEFORE = "platform-ops/release-of", "before.json"


class Release(Frozen):
    """One change of an application. `configs` are the ConfigMaps its pods read, `template` stands for its pods.

    `migrating`: it has come as far as its backup and its migrations, and nothing was applied. `others` are the other
    Deployments that it changes, `unrecorded` the Secrets that it changes: what they held is in no record.
    """

    id: str
    operation: str
    deployment: str
    environment: str
    state: Literal["begun", "good", "undone", "failed"] = "begun"
    images: Mapping[str, str]
    template: str
    config: str = ""
    configs: Mapping[str, Mapping[str, str]] = {}
    plan: str = ""
    revision: int = 0
    before_revision: int = 0
    by: str = ""
    approved_by: str = ""
    backups: tuple[str, ...] = ()
    migrations: tuple[str, ...] = ()
    migrating: bool = False
    others: tuple[str, ...] = ()
    unrecorded: tuple[str, ...] = ()
    why: str = ""
    begun: datetime
    ended: datetime | None = None

    def as_json(self) -> bytes:
        return (self.model_dump_json(indent=1) + "\n").encode()


def new_id() -> str:
    """Sorts by time."""
    return f"{datetime.now(UTC):%Y%m%dt%H%M%S}-{secrets.token_hex(3)}"


def write(connection: Connection, release: Release, before: Sequence[Object] | None = None) -> None:
    """Write it, or write it again. `before` is what a run that was cut off is put back to; at its end it goes."""
    data = {"release.json": release.as_json().decode()}
    if before is not None:
        data[_BEFORE] = json.dumps([each for each in before if each["kind"] != "Secret"])
    wanted: Object = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": _name(release.deployment, release.id),
            "namespace": connection.namespace,
            "labels": {_LABEL: release.deployment},
        },
        "data": data,
    }
    connection.apply(CONFIG_MAPS, wanted)


def read_before(connection: Connection, release: Release) -> list[Object]:
    """The objects as they were before a release that has not ended."""
    found = connection.get(CONFIG_MAPS, _name(release.deployment, release.id))
    return list(json.loads((found.get("data") or {}).get(_BEFORE, "[]")))


def is_before_its_rollout(cut: Release, before: Sequence[Object], live: Object | None) -> bool:
    """Whether a release that was cut off left the Deployment as it was. That is applied last: where it is another,
    everything else was applied."""
    if live is None:
        return not cut.before_revision
    deployments = [each for each in before if each["kind"] == "Deployment" and name_of(each) == cut.deployment]
    if deployments:
        return template_of(deployments[0]) == template_of(live)
    return bool(cut.before_revision and before) and digest(template_of(live)) == cut.template


def _name(deployment: str, release: str) -> str:
    return f"{deployment}-release-{release}"


def releases(connection: Connection, deployment: str) -> tuple[Release, ...]:
    """All that are recorded, oldest first; what is no record of ours is left out."""
    found = []
    for each in connection.list(CONFIG_MAPS, labels=f"{_LABEL}={deployment}"):
        with suppress(ValidationError):
            found.append(Release.model_validate_json((each.get("data") or {}).get("release.json", "")))
    return tuple(sorted(found, key=lambda each: each.id))


def begun(connection: Connection, deployment: str) -> Release | None:
    """The release that was cut off and that nobody has put right yet."""
    return next((each for each in reversed(releases(connection, deployment)) if each.state == "begun"), None)


def prune(connection: Connection, deployment: str, marks: Collection[str]) -> None:
    """Remove the oldest records; one that stays too long does no harm. What says which ConfigMaps belong to a revision
    that there is to go back to stays: `marks` are theirs."""
    known = releases(connection, deployment)
    needed = {each.config: each.id for each in known if each.config in marks and each.configs}.values()
    for each in known[:-KEPT]:
        if each.id not in needed:
            with suppress(PlatformOpsError):
                connection.delete(CONFIG_MAPS, _name(deployment, each.id))
