"""Kubernetes objects as they are on the wire, and what there is of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind as the API's paths have it."""

    api_version: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        return self.api_version.partition("/")[0] if "/" in self.api_version else ""

    def path(self, namespace: str, name: str = "") -> str:
        base = f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        return f"{base}/namespaces/{namespace}/{self.plural}" + (f"/{quote(name, safe='')}" if name else "")


DEPLOYMENTS = Resource("apps/v1", "deployments")
REPLICA_SETS = Resource("apps/v1", "replicasets")
CONFIG_MAPS = Resource("v1", "configmaps")
EVENTS = Resource("v1", "events")
AUTOSCALERS = Resource("autoscaling/v2", "horizontalpodautoscalers")
CRON_JOBS = Resource("batch/v1", "cronjobs")
JOBS = Resource("batch/v1", "jobs")
LEASES = Resource("coordination.k8s.io/v1", "leases")
POD_METRICS = Resource("metrics.k8s.io/v1beta1", "pods")

REVISION = "deployment.kubernetes.io/revision"
RESTARTED = "kubectl.kubernetes.io/restartedAt"
TEMPLATE_HASH = "pod-template-hash"
RELEASE, CONFIG = "platform-ops/release", "platform-ops/config"


def name_of(found: Object) -> str:
    return str(found["metadata"]["name"])


def owned_by(found: Object, uid: str) -> bool:
    return any(each.get("uid") == uid for each in found["metadata"].get("ownerReferences") or ())


def selector_of(deployment: Object) -> str:
    """The labels of its pods, as a list is asked for them."""
    selector: Object = deployment["spec"]["selector"]
    labels: Mapping[str, str] = selector.get("matchLabels") or {}
    found = [f"{key}={value}" for key, value in sorted(labels.items())]
    return ",".join([*found, *(_expression(each) for each in selector.get("matchExpressions") or ())])


def _expression(found: Object) -> str:
    operator, key = found["operator"], found["key"]
    if operator in ("Exists", "DoesNotExist"):
        return str(key) if operator == "Exists" else f"!{key}"
    return f"{key} {operator.lower()} ({','.join(found['values'])})"


def template_of(found: Object) -> Object:
    """The pod template of a Deployment or a ReplicaSet, without the label that a ReplicaSet adds: equal where it is the
    same revision."""
    template: Object = json.loads(json.dumps(found["spec"]["template"]))
    labels = template.get("metadata", {}).get("labels")
    if labels:
        labels.pop(TEMPLATE_HASH, None)
    template.get("metadata", {}).pop("creationTimestamp", None)
    return template


def without_restart(template: Object) -> Object:
    """A pod template without the mark of a restart."""
    metadata: Object = dict(template.get("metadata") or {})
    annotations = {key: value for key, value in (metadata.get("annotations") or {}).items() if key != RESTARTED}
    return {**template, "metadata": {**metadata, "annotations": annotations}}


def images_of(found: Object) -> dict[str, str]:
    """By container."""
    return {each["name"]: each["image"] for each in found["spec"]["template"]["spec"]["containers"]}


def digest(value: object) -> str:
    """A short name for plain data: the same for the same."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
