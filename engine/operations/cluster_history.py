"""The revisions of an application that a rollback can go to, and the releases that made them."""

from __future__ import annotations

from dataclasses import dataclass

from engine.kubernetes import records, rights
from engine.kubernetes.connection import Connection
from engine.kubernetes.objects import CONFIG_MAPS, DEPLOYMENTS, REPLICA_SETS, images_of, selector_of
from engine.kubernetes.records import Release
from engine.kubernetes.rollout import own_replica_sets, revision_of


@dataclass(frozen=True)
class History:
    """`rows`: revision, images, when it was made, pods now, who released it; newest first."""

    rows: tuple[tuple[str, ...], ...]
    releases: tuple[Release, ...]


def history(connection: Connection) -> History:
    """What there is to go back to.

    Raises:
        NotFound: nothing runs there yet.
    """
    needed = [
        *rights.rights(DEPLOYMENTS, "get"),
        *rights.rights(REPLICA_SETS, "list"),
        *rights.rights(CONFIG_MAPS, "list"),
    ]
    rights.require(connection, needed)
    live = connection.get(DEPLOYMENTS, connection.settings.deployment)
    sets = own_replica_sets(live, connection.list(REPLICA_SETS, selector_of(live)))
    known = records.releases(connection, connection.settings.deployment)
    by = {each.revision: each.by for each in known if each.revision}
    rows = tuple(
        (
            f"{revision_of(each)}{' (runs)' if revision_of(each) == revision_of(live) else ''}",
            ", ".join(images_of(each).values()),
            str(each["metadata"]["creationTimestamp"]),
            str((each.get("status") or {}).get("replicas", 0)),
            by.get(revision_of(each), "not by platform-ops"),
        )
        for each in reversed(sets)
    )
    return History(rows, known)
