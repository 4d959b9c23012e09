"""An application in a cluster: what is wanted of it, what the server would make of that, and applying it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from engine.errors import ConfigurationError
from engine.kubernetes import manifests, records
from engine.kubernetes.connection import Connection
from engine.kubernetes.differences import differences
from engine.kubernetes.objects import (
    AUTOSCALERS,
    CONFIG,
    CONFIG_MAPS,
    DEPLOYMENTS,
    REPLICA_SETS,
    RESTARTED,
    Object,
    Resource,
    name_of,
    selector_of,
    template_of,
    without_restart,
)
from engine.kubernetes.plan import ObjectPlan
from engine.kubernetes.rendering import rendered
from engine.kubernetes.rollout import own_replica_sets, revision_of

_AT_ONCE = 8
_KEPT = ("labels", "annotations", "name", "namespace")


@dataclass(frozen=True)
class Wanted:
    """One object: as it is applied, as it is, and as the server would have it (a dry run)."""

    resource: Resource
    body: Object
    live: Object | None
    made: Object

    def plan(self) -> ObjectPlan:
        found = differences(self.live, self.made)
        action = "keep" if not found else "change" if self.live else "create"
        return ObjectPlan(kind=self.body["kind"], name=name_of(self.body), action=action, differences=found)


def placed_objects(connection: Connection) -> list[Object]:
    """The manifests in their namespace and order; no cluster is asked.

    Raises:
        ConfigurationError: they cannot be rendered, or reach outside of the namespace.
    """
    settings = connection.settings
    return manifests.placed(rendered(Path(settings.manifests)), connection.namespace, settings.deployment)


def wanted_objects(connection: Connection, objects: list[Object], version: str) -> list[Object]:
    """The placed manifests with a version of the image; '' is the one that runs.

    Raises:
        ConfigurationError: no version is known.
    """
    deployment = connection.settings.deployment
    live = connection.find(DEPLOYMENTS, deployment)
    if not version:
        if live is None:
            raise ConfigurationError(
                f"{deployment} runs nowhere in {connection.namespace} yet: name the version to deploy."
            )
        version = manifests.version_of(live["spec"]["template"]["spec"]["containers"][0]["image"])
    objects = manifests.with_version(objects, deployment, version)
    autoscalers = [each for each in objects if each["kind"] == "HorizontalPodAutoscaler"] + connection.list(AUTOSCALERS)
    replicas = {deployment: int(live["spec"]["replicas"])} if live else {}
    return manifests.with_config_mark(manifests.with_replicas(objects, replicas, manifests.scaled_by(autoscalers)))


def objects_of_revision(connection: Connection, revision: int) -> tuple[list[Object], int, str]:
    """The Deployment with the pods of an earlier revision and the ConfigMaps they read then, that revision, and a remark.

    `revision` 0 is the newest before the one that runs with other pods; pods that were only started anew are no others.

    Raises:
        ConfigurationError: there is no such revision.
    """
    live = connection.get(DEPLOYMENTS, connection.settings.deployment)
    sets = own_replica_sets(live, connection.list(REPLICA_SETS, selector_of(live)))
    now, known = revision_of(live), [revision_of(each) for each in sets]
    others = [each for each in sets if without_restart(template_of(each)) != without_restart(template_of(live))]
    chosen = revision or max((revision_of(each) for each in others if revision_of(each) < now), default=0)
    found = next((each for each in sets if revision_of(each) == chosen), None)
    if found is None or chosen == now:
        message = ", ".join(map(str, known))
        what = f"revision {revision} to go back to" if revision else "revision before the one that runs"
        raise ConfigurationError(f"{name_of(live)} has no {what}; there are {message}, and {now} runs.")
    wanted = as_applied(live)
    wanted["spec"]["template"] = template_of(found)
    configs, remark = _configs_of(connection, found)
    return [*configs, wanted], chosen, remark


def left_by_others(wanted: Wanted) -> str:
    """What somebody else set in the pods of a Deployment, and what an apply of an earlier revision leaves, in words."""
    found = [each.where for each in differences(wanted.body, wanted.made) if each.where.startswith("spec.template.")]
    places = ", ".join(where for where in found if not where.endswith(RESTARTED))
    return f"Somebody set, and it stays as it is (change it the way it was set): {places}." if places else ""


def _configs_of(connection: Connection, replica_set: Object) -> tuple[list[Object], str]:
    """The ConfigMaps that the pods of a revision read, as they were, and a remark where that is not known."""
    mark = (template_of(replica_set)["metadata"].get("annotations") or {}).get(CONFIG, "")
    if not mark:
        return [], "That revision says of no ConfigMap how it was: they stay as they are."
    known = records.releases(connection, connection.settings.deployment)
    # A rollback to a revision whose ConfigMaps were not known has its mark, and none of them.
    release = next((each for each in reversed(known) if each.config == mark and each.configs), None)
    if release is None:
        return [], "The ConfigMaps as they were are not recorded any more: they stay as they are."
    found, read = [], manifests.references(replica_set)
    for name, held in release.configs.items():
        if name not in read:
            continue
        live = connection.find(CONFIG_MAPS, name)
        bare: Object = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": connection.namespace},
        }
        found.append(manifests.with_held(as_applied(live) if live else bare, held))
    return found, ""


def as_applied(live: Object) -> Object:
    """A live object as one that can be applied: without what the server keeps for itself."""
    made: Object = json.loads(json.dumps({key: value for key, value in live.items() if key != "status"}))
    made["metadata"] = {key: value for key, value in made["metadata"].items() if key in _KEPT}
    annotations = made["metadata"].get("annotations") or {}
    made["metadata"]["annotations"] = {
        key: value
        for key, value in annotations.items()
        if not key.startswith(("deployment.kubernetes.io/", "kubectl."))
    }
    return made


def resources_of(connection: Connection, objects: Sequence[Object]) -> list[Resource]:
    """What the API calls the kinds of these.

    Raises:
        ConfigurationError: one is of a kind that the cluster does not know, or that is in no namespace.
    """
    found = [connection.resource(each["apiVersion"], each["kind"]) for each in objects]
    for resource, each in zip(found, objects, strict=True):
        if not resource.namespaced:
            raise ConfigurationError(
                f"{each['kind']} {name_of(each)} belongs to the whole cluster; only {connection.namespace} is touched."
            )
    return found


def dry_run(connection: Connection, objects: Sequence[Object]) -> list[Wanted]:
    """What the server would make of each; nothing is changed.

    Raises:
        Invalid: a field is unknown or wrong.
    """
    pairs = list(zip(resources_of(connection, objects), objects, strict=True))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda pair: _tried(connection, *pair), pairs))


def _tried(connection: Connection, resource: Resource, body: Object) -> Wanted:
    live = connection.find(resource, name_of(body))
    return Wanted(resource, body, live, connection.apply(resource, body, dry_run=True))


def apply(
    connection: Connection, wanted: Sequence[Wanted], still_ours: Callable[[], None]
) -> dict[tuple[str, str], Object]:
    """Apply those that differ, in their order; what the server made of them by kind and name. `still_ours` is asked
    before each."""
    made = {}
    for each in wanted:
        if each.plan().action != "keep":
            still_ours()
            made[each.body["kind"], name_of(each.body)] = connection.apply(each.resource, each.body)
    return made


def put_back(
    connection: Connection, before: Sequence[Object], deployment: str, still_ours: Callable[[], None]
) -> list[Object]:
    """Apply objects as they were, in their order; the Deployments, as the server made them, the one of the application
    first. `still_ours` is asked before each.

    What an autoscaler scales keeps the replicas it has by now.
    """
    made, live = [], connection.find(DEPLOYMENTS, deployment)
    replicas = {deployment: int(live["spec"]["replicas"])} if live else {}
    scaled = manifests.scaled_by(connection.list(AUTOSCALERS))
    for each in manifests.in_order(manifests.with_replicas(before, replicas, scaled), deployment):
        still_ours()
        made.append(connection.apply(connection.resource(each["apiVersion"], each["kind"]), each))
    return [each for each in reversed(made) if each["kind"] == "Deployment"]
