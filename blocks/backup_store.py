"""The BackupStore block: the fields of every kind of store in one form, since one cannot show a choice."""

from __future__ import annotations

from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, create_model

from blocks.config_block import ConfigBlock
from engine.config.file import with_retention
from engine.config.settings import FolderStore, Retention, S3Store, StoreSettings
from engine.errors import ConfigurationError
from engine.sources.registry import default_retention


class _First(BaseModel):
    """What the form shows first: fields come in the order of the bases, the last one's before all."""

    kind: str = "folder"
    path: str = ""
    bucket: str = ""


_RetentionForm: Any = create_model(
    "RetentionByKind",
    __config__=ConfigDict(extra="allow"),  # a newer version's kinds
    **cast(Any, {kind: (Retention, policy) for kind, policy in default_retention().items()}),
)
"""A form with a part for each kind of set; a mapping would be a field of JSON."""


class BackupStore(S3Store, FolderStore, ConfigBlock, _First):
    """Where backups rest: a folder or a bucket; written from platform-ops.toml, which wins."""

    _block_type_name = "Backup store"
    _block_type_slug = "backup-store"
    _description = (
        "Where backups rest: a folder (path) or an S3 bucket (bucket and what follows it). "
        "platform-ops.toml wins over edits made here."
    )

    # Written out because the settings are frozen and strict, and a block must be neither.
    model_config = ConfigBlock.model_config

    # Each kind needs one of these and knows nothing of the other.
    kind: Literal["folder", "s3"] = Field(  # type: ignore[assignment]
        default="folder", description="A folder needs a path, a bucket (s3) its name and what follows it."
    )
    path: str = Field(default="", description="Of a folder: as it is called on the workers' hosts.")
    bucket: str = Field(default="", description="Of a bucket: its name.")
    retention: _RetentionForm = Field(  # type: ignore[assignment]
        default_factory=_RetentionForm, description="By kind of set, how long they stay: while any rule wants them."
    )

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
        values = {name: getattr(self, name) for name in model.model_fields}
        kinds = default_retention()
        set_here = {kind: own for kind, own in self.retention.model_dump(exclude_unset=True).items() if kind in kinds}
        where = f"{self.get_block_type_slug()}/{self._block_document_name}"
        return with_retention(where, model.model_validate({**values, "retention": set_here}), kinds)
