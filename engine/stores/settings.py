"""What a store itself has to be told: where it is and how to get there."""

from __future__ import annotations

import os.path
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from engine.secrets import SecretReference
from engine.settings_model import Frozen


def _path(value: str) -> str:
    try:
        expanded = Path(value).expanduser()
    except RuntimeError:
        raise ValueError(f"there is no user whose home {value.split('/')[0]} would be") from None
    if "\0" in str(expanded):
        raise ValueError("a path holds no NUL byte")
    return value


class FolderSettings(Frozen):
    """A local folder (or a mounted one)."""

    kind: Literal["folder"] = "folder"
    path: Annotated[str, Field(min_length=1), AfterValidator(_path)]
    """The folder, as it is called on the workers' hosts."""
    mount: Annotated[str, AfterValidator(_path)] = ""
    """Where the disk is mounted that the folder is on, such as /srv/backups: without that disk nothing is read or
    written. Empty: not checked."""

    @field_validator("mount")
    @classmethod
    def _above_the_path(cls, mount: str, info: ValidationInfo) -> str:
        if mount and not Path(mount).is_absolute():
            raise ValueError("give the whole path of the mount point, from / on")
        path = Path(info.data.get("path") or mount).expanduser().absolute()
        if mount and not Path(os.path.normpath(path)).is_relative_to(os.path.normpath(mount)):
            raise ValueError("the store's path does not lie in it; give the mount point above the path")
        return mount


class S3Settings(Frozen):
    """A bucket of AWS or of another S3 server."""

    kind: Literal["s3"] = "s3"
    bucket: str
    """The bucket's name."""
    prefix: str = ""
    """Put before each key."""
    endpoint_url: str = ""
    """Empty means AWS; else such as https://s3.example.org."""
    region: str = ""
    """The bucket's region."""
    access_key: SecretReference | None = None
    """Where the access key is: env:NAME, file:/path or prefect:block. Without one the host's own role is used."""
    secret_key: SecretReference | None = None
    """Where the secret key is: env:NAME, file:/path or prefect:block."""
    path_style: bool | None = None
    """For servers other than AWS: the default where an endpoint is given."""
    checksums: Literal["when_supported", "when_required"] | None = None
    """when_required is for servers other than AWS, and the default where an endpoint is given."""
    part_size_mib: int = Field(default=5, ge=5, le=1024)
    """The least size of an upload's parts; it grows with what is uploaded."""
    parts_in_flight: int = Field(default=3, ge=1, le=32)
    """How many parts are sent at once."""
    max_parts: int = Field(default=10000, ge=100, le=10000)
    """Some servers take 1000 parts only."""
    encryption: Literal["", "AES256", "aws:kms"] = ""
    """Encryption by the S3 server, beside our own."""
    kms_key_id: str = ""
    """Which key, with aws:kms."""
    lock_mode: Literal["", "GOVERNANCE", "COMPLIANCE"] = ""
    """Object lock: nobody deletes or replaces a file for `lock_days` days."""
    lock_days: int = Field(default=0, ge=0, le=36500)
    """How long the object lock holds."""


PlaceSettings = Annotated[FolderSettings | S3Settings, Field(discriminator="kind")]
"""Where a store of either kind is."""
