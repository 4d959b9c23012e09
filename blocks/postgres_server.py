"""The PostgresServer block: the engine's own ServerSettings, editable in the UI."""

from __future__ import annotations

from typing import Self

from blocks.noun import Noun
from engine.config.settings import ServerSettings


class PostgresServer(ServerSettings, Noun):
    """A PostgreSQL server and where its backups go; written from platform-ops.toml, which wins."""

    _block_type_name = "PostgreSQL server"
    _block_type_slug = "postgres-server"
    _description = (
        "A PostgreSQL server and where its backups go. platform-ops.toml wins over edits made here."
    )

    # Written out because ServerSettings is frozen and strict, and a block must be neither.
    model_config = Noun.model_config

    @classmethod
    def of(cls, settings: ServerSettings) -> Self:
        """The block that holds `settings`."""
        return cls(**settings.model_dump())

    def settings(self) -> ServerSettings:
        """The frozen settings the engine works with."""
        return ServerSettings(**{name: getattr(self, name) for name in ServerSettings.model_fields})
