"""The PlatformHost block: where things run, and how one gets there."""

from __future__ import annotations

from blocks.config_block import ConfigBlock
from engine.hosts.settings import HostSettings


class PlatformHost(HostSettings, ConfigBlock):
    """A host that things run on; written from platform-ops.toml, which wins."""

    _block_type_name = "Platform host"
    _block_type_slug = "platform-host"
    _description = "A host that things run on. platform-ops.toml wins over edits made here."

    # Written out because the settings are frozen and strict, and a block must be neither.
    model_config = ConfigBlock.model_config

    def settings(self) -> HostSettings:
        """The frozen settings the engine works with."""
        return HostSettings(**{name: getattr(self, name) for name in HostSettings.model_fields})
