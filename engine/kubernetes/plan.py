"""What a change of an application in a cluster would do, as data: shown, and approved by its hash."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Literal

from engine.kubernetes.differences import Difference
from engine.settings_model import Frozen

Action = Literal["create", "change", "keep"]


class ObjectPlan(Frozen):
    """What happens to one object."""

    kind: str
    name: str
    action: Action
    differences: tuple[Difference, ...] = ()


class ClusterPlan(Frozen):
    """`revision` is the one that runs: the plan is for that, and for no other."""

    operation: str
    cluster: str
    namespace: str
    environment: str
    deployment: str
    objects: tuple[ObjectPlan, ...]
    images: Mapping[str, str]
    """By container, what will run."""
    images_before: Mapping[str, str] = {}
    revision: int = 0
    to_revision: int = 0
    """Of a rollback: where to."""
    migrations: Mapping[str, str] = {}
    """By name, the SHA-256 of its file: no other is run than was approved."""
    backup: str = ""
    """The source that is backed up and verified before the migrations."""
    remarks: tuple[str, ...] = ()

    @property
    def changing(self) -> tuple[ObjectPlan, ...]:
        return tuple(each for each in self.objects if each.action != "keep")

    @property
    def empty(self) -> bool:
        """Whether nothing would be done."""
        return not (self.changing or self.migrations)

    @property
    def without_migrations(self) -> ClusterPlan:
        """What is left of it when they have run."""
        return self.model_copy(update={"migrations": {}, "backup": ""})

    @property
    def hash(self) -> str:
        """What approval is bound to: all of it."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()
