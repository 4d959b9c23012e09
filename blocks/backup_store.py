"""The BackupStore block: the fields of every kind of store in one form, since one cannot show a choice."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, Field

from blocks.noun import Noun
from engine.config.settings import FolderStore, S3Store, StoreSettings
from engine.errors import ConfigurationError


class _First(BaseModel):
    """What the form shows first: fields come in the order of the bases, the last one's before all."""

    kind: str = "folder"
    path: str = ""
    bucket: str = ""


class BackupStore(S3Store, FolderStore, Noun, _First):
    """Where backups rest: a folder or a bucket; written from platform-ops.toml, which wins."""

    _block_type_name = "Backup store"
    _block_type_slug = "backup-store"
    _description = (
        "Where backups rest: a folder (path) or an S3 bucket (bucket and what follows it). "
        "platform-ops.toml wins over edits made here."
    )

    # Written out because the settings are frozen and strict, and a block must be neither.
    model_config = Noun.model_config

    # Each kind needs one of these and knows nothing of the other.
    kind: Literal["folder", "s3"] = Field(  # type: ignore[assignment]
        default="folder", description="A folder needs a path, a bucket (s3) its name and what follows it."
    )
    path: str = Field(default="", description="Of a folder: as it is called on the workers' hosts.")
    bucket: str = Field(default="", description="Of a bucket: its name.")

    @classmethod
    def of(cls, settings: StoreSettings) -> Self:
        """The block that holds `settings`."""
        return cls(**settings.model_dump())

    def settings(self) -> StoreSettings:
        """The frozen settings the engine works with.

        Raises:
            ConfigurationError: a folder without a path, or a bucket without a name.
        """
        model, needed = (S3Store, "bucket") if self.kind == "s3" else (FolderStore, "path")
        if not getattr(self, needed):
            raise ConfigurationError(
                f"The block {self.get_block_type_slug()}/{self._block_document_name} is of kind {self.kind} "
                f"and names no {needed}; fill it in, or correct platform-ops.toml and apply it."
            )
        return model.model_validate({name: getattr(self, name) for name in model.model_fields})
