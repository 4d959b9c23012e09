"""Volumes as a type of source. What is heavy is imported when it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.hosts.settings import HostSettings
from engine.progress import Progress
from engine.repository.body import Body
from engine.repository.findings import Findings
from engine.repository.repository import Repository
from engine.sources.base import SourceType
from engine.sources.volumes.kinds import VOLUME
from engine.sources.volumes.settings import VolumesSettings

if TYPE_CHECKING:
    from engine.sources.volumes.source import Volumes


def _open(name: str, settings: VolumesSettings, host: HostSettings) -> Volumes:
    from engine.sources.volumes.source import Volumes

    return Volumes(name, settings, host)


def _prove(repository: Repository, body: Body, findings: Findings, progress: Progress, host: HostSettings) -> None:
    from engine.sources.volumes.drill import prove

    prove(repository, body, findings, progress, host)


VOLUMES = SourceType(
    section="volumes",
    noun="volumes of an engine",
    title="Volumes",
    kinds=(VOLUME,),
    settings=VolumesSettings,
    open=_open,
    prove=_prove,
    flow="volume-snapshot",
    secrets="what services keep in their volumes, keys and passwords among it",
    restore_flow="restore-volumes",
    has_undeclared=True,
)
