"""What [images.NAME] may say: whose images are kept."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from engine.config.names import Name
from engine.config.settings import SourceSettings


class ImagesSettings(SourceSettings):
    """The images of the releases that a platform can go to: the one that runs, and the good one before it."""

    operations: ClassVar[tuple[str, ...]] = ("image-archive", "restore-drill", "check-backups")

    platform: Name
    """The platform whose images they are, by name."""
    stall_minutes: float = Field(default=10, gt=0, le=1440)
    """No byte for so long ends a copy."""
