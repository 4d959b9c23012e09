"""What [volumes.NAME] may say: which volumes of a container engine are kept, and how each comes to rest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from engine.config.names import Name
from engine.config.settings import SourceSettings
from engine.sources.volumes.kinds import VOLUME

Quiesce = Literal["stop", "sqlite", "none"]
"""`stop`: the containers that write to it are stopped meanwhile. `sqlite`: its SQLite databases are held as they are by
SQLite's own means, and nothing stops. `none`: it is read as it is; what changes meanwhile fails the set."""
SEED: dict[str, Quiesce] = {"uptime-kuma-data": "sqlite", "termix-data": "stop"}
"""What the compose platform has that is kept as a volume."""
OTHERWISE = {
    "postgres-data": "its databases are dumped (docs/add-a-server.md)",
    "redis-data": "a cache",
    "keycloak-themes": "themes come from their repository",
    "nginx-ssl": "certificates are kept on renewal",
}
"""Volumes of the compose platform that are not: why."""


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,200}")


def is_volume_name(value: str) -> bool:
    """Whether a volume can be called so (moby's RestrictedNamePattern)."""
    return bool(_NAME.fullmatch(value))


def _volume_name(value: str) -> str:
    if not is_volume_name(value):
        raise ValueError("a volume's name has letters, digits, `_`, `.` and `-` only")
    return value


VolumeName = Annotated[str, AfterValidator(_volume_name)]


class VolumesSettings(SourceSettings):
    """The volumes of a container engine."""

    operations: ClassVar[tuple[str, ...]] = ("volume-snapshot", "restore-drill", "check-backups")

    volumes: dict[VolumeName, Quiesce] = Field(default=SEED)
    """By a volume's own name, or its name in the compose file, how it comes to rest: stop, sqlite or none."""
    jobs: int = Field(default=1, ge=1, le=1)
    """One at a time: a container may mount several, and is stopped for one."""
    project: Name = "kecp"
    """The compose project whose volumes these are; a volume of it that is named nowhere is told."""
    longest_stop_minutes: float = Field(default=30, gt=0, le=1440)
    """After so long what was stopped is started again, whatever the copy has come to; the set fails then."""
    stall_minutes: float = Field(default=10, gt=0, le=1440)
    """No byte for so long ends a copy."""

    @property
    def declared(self) -> Mapping[str, tuple[str, ...]]:
        return {VOLUME.name: tuple(self.volumes)}
