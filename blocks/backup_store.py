"""The BackupStore block: the engine's own StoreSettings, editable in the UI."""

from __future__ import annotations

from typing import Self

from blocks.noun import Noun
from engine.config.settings import StoreSettings


class BackupStore(Noun):
    """Where backups rest: a folder or a bucket; written from platform-ops.toml, which wins."""

    _block_type_name = "Backup store"
    _block_type_slug = "backup-store"
    _description = "A folder or a bucket that holds backups. platform-ops.toml wins over edits made here."

    place: StoreSettings

    @classmethod
    def of(cls, settings: StoreSettings) -> Self:
        """The block that holds `settings`."""
        return cls(place=settings)

    def settings(self) -> StoreSettings:
        """The frozen settings the engine works with."""
        return self.place
