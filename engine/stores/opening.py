"""From a store's settings to the store itself."""

from __future__ import annotations

from pathlib import Path

from engine.stores.base import Store
from engine.stores.folder import FolderStore
from engine.stores.settings import FolderSettings, PlaceSettings


def open_store(name: str, settings: PlaceSettings) -> Store:
    """The store `name`. A folder need not exist yet; a bucket is first asked when it is used.

    Raises:
        ConfigurationError: a secret or setting that cannot be used.
    """
    if isinstance(settings, FolderSettings):
        mount = Path(settings.mount) if settings.mount else None
        return FolderStore(name, Path(settings.path).expanduser().absolute(), mount)
    from engine.stores.s3 import open_s3  # boto3 takes a quarter of a second to import

    return open_s3(name, settings)
