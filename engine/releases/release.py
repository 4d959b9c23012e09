"""A release: what ran where. It holds no secret: those are marks that tell whether one changed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import Field, ValidationError

from engine.errors import OperationFailed
from engine.settings_model import Frozen

MIGRATION_LABEL = "platform-ops.migration"
"""An image's label: `breaking` when what it migrates the database to cannot be used by the version before."""


class ServiceRelease(Frozen):
    """One service of a release."""

    image: str
    """The tag on the host that this release alone decides about."""
    image_id: str
    digest: str = ""
    """The digest its registry knows it by; '' where it was built on the host."""
    reference: str
    """What was asked for, such as registry/kohub-backend:1.4.2."""
    config_hash: str
    """What compose writes to the container."""
    settings: dict[str, str]
    """All that compose knows of it, and how it is replaced (x-rollout), flat."""
    migration: str = ""

    @property
    def version(self) -> str:
        return version_of(self.reference)


class Release(Frozen):
    """All services of a platform, and the files of nginx, as they are to run together."""

    id: str
    platform: str
    environment: str
    services: dict[str, ServiceRelease]
    nginx: dict[str, str]
    """nginx's files by name, each as the hash of what is in it."""
    nginx_folder: str
    """The name of the folder they are in, made of these."""
    made: datetime
    routes: dict[str, str] = Field(default={})
    """What is asked at each path of the platform (x-routes)."""
    names: dict[str, str] = Field(default={})
    """What the network and the volumes are called on the host."""
    by: str = ""
    approved_by: str = ""
    backups: tuple[str, ...] = ()
    """The sets that were taken before it, as source/kind/name/id."""
    migrated: tuple[str, ...] = ()
    """The services whose migration ran for it."""
    breaking: tuple[str, ...] = ()
    """Those of them that the release before cannot live with."""
    state: Literal["staged", "good", "rolled-back"] = "staged"

    def as_json(self) -> bytes:
        return (self.model_dump_json(indent=1) + "\n").encode()


def read_release(document: bytes, where: str) -> Release:
    """A release's record.

    Raises:
        OperationFailed: it is damaged.
    """
    try:
        return Release.model_validate_json(document)
    except ValidationError:
        raise OperationFailed(f"{where} is damaged; deploy again, or restore the file from the store.") from None


def version_of(reference: str) -> str:
    """The tag of an image's reference; '' where it has none, or a digest."""
    name, _, _ = reference.partition("@")
    last = name.rpartition("/")[2]
    return last.partition(":")[2]


def pin(project: str, service: str, reference: str, image_id: str) -> str:
    """The tag on the host that a release alone decides about: it names the image, so it never moves."""
    return f"{project}/{service}:{version_of(reference) or 'untagged'}-{image_id.removeprefix('sha256:')[:12]}"


def is_pin(image: str) -> bool:
    """Whether a tag looks like one of those."""
    return bool(re.fullmatch(r".*:.+-[0-9a-f]{12}", image))


def with_version(reference: str, version: str) -> str:
    """The same image in another version."""
    name = reference.partition("@")[0]
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}:{version}"


def flat(value: Any, prefix: str = "") -> dict[str, str]:
    """A nested value as dotted names with texts, what is empty left out."""
    if isinstance(value, Mapping):
        return {
            k: v
            for key, each in value.items()
            for k, v in flat(each, f"{prefix}.{key}" if prefix else str(key)).items()
        }
    if isinstance(value, list) and all(isinstance(each, dict) for each in value) and value:
        return {k: v for number, each in enumerate(value) for k, v in flat(each, f"{prefix}.{number}").items()}
    if isinstance(value, list):
        return {prefix: " ".join(map(str, value))} if value else {}
    return {} if value is None or value == "" else {prefix: str(value)}
