"""The Platform block: a compose platform, and how it is deployed."""

from __future__ import annotations

from blocks.config_block import ConfigBlock
from engine.config.platforms import PlatformSettings


class Platform(PlatformSettings, ConfigBlock):
    """A platform that is deployed and rolled back; written from platform-ops.toml, which wins."""

    _block_type_name = "Platform"
    _block_type_slug = "platform"
    _description = (
        "A compose platform: where it is and how it is deployed. platform-ops.toml wins over edits made here."
    )

    # Written out because the settings are frozen and strict, and a block must be neither.
    model_config = ConfigBlock.model_config

    def settings(self) -> PlatformSettings:
        """The frozen settings the engine works with."""
        return PlatformSettings(**{name: getattr(self, name) for name in PlatformSettings.model_fields})
