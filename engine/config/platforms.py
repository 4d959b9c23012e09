"""A platform of compose services as the configuration describes it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from engine.config.names import LOCAL, Name
from engine.settings_model import Frozen


def absolute(value: str) -> str:
    """A path as a setting may give it, without a last slash."""
    if not value.startswith("/") or ".." in value.split("/") or any(ord(each) < 32 for each in value):
        raise ValueError("give the whole path of the folder, without `..`")
    return value.rstrip("/") or "/"


class PlatformSettings(Frozen):
    """A platform: the folder with its compose files, and how it is deployed."""

    directory: Annotated[str, AfterValidator(absolute)]
    """The folder on the host that holds compose.platform.yml, images.env, .env.ENVIRONMENT and nginx/."""
    environment: Literal["dev", "staging", "prod"] = "staging"
    """Which .env.NAME and compose.NAME.yml are read."""
    project: Name = "kecp"
    """Compose's name of the project: containers are called PROJECT-SERVICE-1. Never change it while it runs."""
    runs_on: Name = LOCAL
    """The host it runs on, by its name in [hosts]: local is the worker's own machine."""
    store: Name
    """The backup store that gets the record of each release, by name."""
    backup: Name | None = None
    """The source that is backed up and verified before a deploy changes anything."""
    approval: bool | None = None
    """Whether a person has to approve the plan of a deploy or rollback; where nothing is said, in prod only."""
    approval_minutes: float = Field(default=60, gt=0, le=180)
    """How long a plan waits for approval; then it is rejected."""
    migration_minutes: float = Field(default=60, gt=0, le=180)
    """How long a migration may take; then it is ended, and the deploy with it."""
    pull: Literal["missing", "always"] = "missing"
    """When images are fetched: what is not on the host, or all of them each time (for tags that move)."""

    @property
    def needs_approval(self) -> bool:
        """Whether a person has to approve the plan."""
        return self.environment == "prod" if self.approval is None else self.approval
