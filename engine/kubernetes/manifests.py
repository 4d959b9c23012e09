"""What is applied, made of what was rendered: in the one namespace, with the image, the replicas and the mark of the
configuration set. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy

from engine.errors import ConfigurationError
from engine.kubernetes.objects import CONFIG, Object, digest, name_of

_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_FIRST = ("ResourceQuota", "ServiceAccount", "ConfigMap", "Secret", "ExternalSecret", "Service")
_BINARY = "binary/"
_WIDE = ("Namespace", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "PersistentVolume", "Node")


def placed(objects: Sequence[Object], namespace: str, deployment: str) -> list[Object]:
    """The objects in the namespace, in the order they are applied: what others refer to comes first, Deployments come
    last and `deployment` at the very end, so that its new pod template tells that everything else was applied.

    Raises:
        ConfigurationError: one is outside of the namespace, is no object, or stands there twice; the Deployment lacks;
            a value of a Secret is no text.
    """
    found: dict[tuple[str, str, str], Object] = {}
    for each in objects:
        key = _key(each)
        given = each["metadata"].get("namespace", namespace)
        if given != namespace or each["kind"] in _WIDE:
            where = "the whole cluster" if each["kind"] in _WIDE else f"the namespace {given}"
            raise ConfigurationError(
                f"{key[1]} {key[2]} belongs to {where}; only {namespace} is touched: take it out of the manifests."
            )
        if key in found:
            raise ConfigurationError(f"{key[1]} {key[2]} stands in the manifests twice; leave one.")
        _require_texts(each)
        found[key] = {**each, "metadata": {**each["metadata"], "namespace": namespace}}
    if ("apps/v1", "Deployment", deployment) not in found:
        raise ConfigurationError(f"There is no Deployment {deployment} in the manifests; name one with `deployment`.")
    return in_order(found.values(), deployment)


def in_order(objects: Iterable[Object], deployment: str) -> list[Object]:
    """As they are applied."""
    return sorted(objects, key=lambda each: _place(each, deployment))


def _place(found: Object, deployment: str) -> int:
    kind = found["kind"]
    if kind in _FIRST:
        return _FIRST.index(kind)
    if kind != "Deployment":
        return len(_FIRST)
    return len(_FIRST) + (2 if name_of(found) == deployment else 1)


def _require_texts(found: Object) -> None:
    """The server would quote a number in its answer."""
    for part in ("data", "stringData") if found["kind"] == "Secret" else ():
        for key, value in (found.get(part) or {}).items():
            if not isinstance(value, str):
                raise ConfigurationError(f"{key} of the Secret {name_of(found)} is no text; put its value in quotes.")


def _key(found: Object) -> tuple[str, str, str]:
    try:
        return found["apiVersion"], found["kind"], name_of(found)
    except (KeyError, TypeError):
        raise ConfigurationError(
            "A manifest has no apiVersion, kind or metadata.name; correct or remove that document."
        ) from None


def with_version(objects: Sequence[Object], deployment: str, version: str) -> list[Object]:
    """The objects with the tag of the Deployment's first container set: applied so, there is one new revision and not
    one of the file's own tag before it.

    Raises:
        ConfigurationError: it is no tag, or one that moves.
    """
    if not _TAG.fullmatch(version) or version == "latest":
        raise ConfigurationError(
            f"{version[:60]!r} is no version; give the tag of the image, such as 1a2b3c4d-20260101120000 (never latest)."
        )
    made = deepcopy(list(objects))
    for each in made:
        if each["kind"] == "Deployment" and name_of(each) == deployment:
            container = each["spec"]["template"]["spec"]["containers"][0]
            container["image"] = f"{repository_of(container['image'])}:{version}"
    return made


def repository_of(image: str) -> str:
    """An image's name without its tag and digest; a registry's port is no tag."""
    name = image.partition("@")[0]
    head, colon, tag = name.rpartition(":")
    return head if colon and "/" not in tag else name


def version_of(image: str) -> str:
    return image.removeprefix(repository_of(image)).lstrip(":@")


def with_config_mark(objects: Sequence[Object]) -> list[Object]:
    """Each Deployment's pods say which configuration they read: a ConfigMap that changes starts new ones, and a
    revision tells which ConfigMaps belong to it."""
    made = deepcopy(list(objects))
    for each in made:
        if each["kind"] == "Deployment":
            template = each["spec"]["template"].setdefault("metadata", {})
            if used := configs_of(objects, each):
                template.setdefault("annotations", {})[CONFIG] = digest(used)
    return made


def configs_of(objects: Sequence[Object], deployment: Object) -> dict[str, Mapping[str, str]]:
    """What each ConfigMap holds that the pods of a Deployment read, by its name; binary data under `binary/KEY`, which
    is no key of a text."""
    used = references(deployment)
    return {name_of(each): _held(each) for each in objects if each["kind"] == "ConfigMap" and name_of(each) in used}


def _held(config: Object) -> dict[str, str]:
    binary = {f"{_BINARY}{key}": value for key, value in (config.get("binaryData") or {}).items()}
    return dict(config.get("data") or {}) | binary


def with_held(config: Object, held: Mapping[str, str]) -> Object:
    """A ConfigMap that holds what was recorded of it."""
    data = {key: value for key, value in held.items() if not key.startswith(_BINARY)}
    binary = {key.removeprefix(_BINARY): value for key, value in held.items() if key.startswith(_BINARY)}
    kept = {key: value for key, value in config.items() if key != "binaryData"}
    return kept | {"data": data} | ({"binaryData": binary} if binary else {})


def references(deployment: Object) -> frozenset[str]:
    """The names of all ConfigMaps and Secrets that its pods use."""
    return frozenset(_named(deployment["spec"]["template"]["spec"]))


def _named(value: object) -> list[str]:
    if isinstance(value, list):
        return [name for each in value for name in _named(each)]
    if not isinstance(value, dict):
        return []
    own = [
        str(value[key].get("name") or value[key].get("secretName"))
        for key in ("configMapRef", "secretRef", "configMapKeyRef", "secretKeyRef", "configMap", "secret")
        if isinstance(value.get(key), dict)
    ]
    return own + [name for each in value.values() for name in _named(each)]


def with_replicas(objects: Sequence[Object], live: Mapping[str, int], scaled: frozenset[str]) -> list[Object]:
    """What an autoscaler scales keeps the replicas it has: a deploy must not undo what the load asked for."""
    made = deepcopy(list(objects))
    for each in made:
        if each["kind"] == "Deployment" and name_of(each) in scaled & live.keys():
            each["spec"]["replicas"] = live[name_of(each)]
    return made


def scaled_by(autoscalers: Sequence[Object]) -> frozenset[str]:
    """The Deployments that these autoscalers scale."""
    targets = [each["spec"]["scaleTargetRef"] for each in autoscalers]
    return frozenset(str(each["name"]) for each in targets if each.get("kind") == "Deployment")
