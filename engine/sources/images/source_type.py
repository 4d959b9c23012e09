"""Images as a type of source. What is heavy is imported when it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.config.platforms import PlatformSettings
from engine.hosts.settings import HostSettings
from engine.progress import Progress
from engine.repository.body import Body
from engine.repository.findings import Findings
from engine.repository.repository import Repository
from engine.sources.base import SourceType
from engine.sources.images.kinds import BLOB, IMAGE
from engine.sources.images.settings import ImagesSettings

if TYPE_CHECKING:
    from engine.sources.images.source import ImagesSource


def _open(name: str, settings: ImagesSettings, host: HostSettings, platform: PlatformSettings) -> ImagesSource:
    from engine.sources.images.source import ImagesSource

    return ImagesSource(name, settings, host, platform)


def _prove(repository: Repository, body: Body, findings: Findings, progress: Progress, host: HostSettings) -> None:
    del host
    from engine.sources.images.drill import prove

    prove(repository, body, findings, progress)


IMAGES = SourceType(
    section="images",
    noun="images of a platform",
    title="Container images",
    kinds=(IMAGE, BLOB),
    settings=ImagesSettings,
    open=_open,
    prove=_prove,
    flow="image-archive",
    secrets="what was built into the images",
    restore_flow="restore-images",
    of_platform=True,
    after_deploy=True,
)
