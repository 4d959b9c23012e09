"""What platform-ops.toml may say: servers, stores, retention. Frozen, unknown keys refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from engine.config.secrets import SecretReference
from engine.hosts.where import checked_where

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
"""A server's or store's name: it becomes a folder, an S3 key and a Prefect block's name."""


def _name(value: str) -> str:
    if not NAME.fullmatch(value) or value == "verdicts":
        raise ValueError(
            "use 1 to 63 lower-case letters, digits and inner hyphens (it becomes a folder and a block name)"
        )
    return value


def _path(value: str) -> str:
    try:
        expanded = Path(value).expanduser()
    except RuntimeError:
        raise ValueError(f"there is no user whose home {value.split('/')[0]} would be") from None
    if "\0" in str(expanded):
        raise ValueError("a path holds no NUL byte")
    return value


Name = Annotated[str, AfterValidator(_name)]
Where = Annotated[str, AfterValidator(checked_where)]
"""`local`, `container:NAME`, `container:USER@NAME`, `ssh:USER@HOST` or `ssh:USER@HOST:PORT`."""


class Frozen(BaseModel):
    """Settings never change once read, and a key that means nothing is a typing mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Retention(Frozen):
    """How long sets of one scope are kept. A set stays while *any* rule wants it.

    `days`: younger than this stays. `last`: so many newest stay. `daily`, `weekly`, `monthly`:
    grandfather-father-son, the newest of each of so many days, ISO weeks, months that have one.
    `minimum`: never fewer good sets than this, whatever the other rules say.
    """

    days: int = Field(default=30, ge=0, le=36500)
    last: int = Field(default=0, ge=0, le=100000)
    daily: int = Field(default=0, ge=0, le=36500)
    weekly: int = Field(default=0, ge=0, le=5200)
    monthly: int = Field(default=0, ge=0, le=1200)
    minimum: int = Field(default=3, ge=1, le=1000)


class StoreRetention(Frozen):
    """Retention of cluster sets (30 days) and of database sets (7 days)."""

    cluster: Retention = Retention(days=30)
    database: Retention = Retention(days=7)

    @field_validator("database", mode="before")
    @classmethod
    def _own_default(cls, value: object) -> object:
        """A table that says nothing of `days` means the database sets' 7, not the cluster sets' 30."""
        return {"days": 7, **value} if isinstance(value, dict) else value


class StoreBase(Frozen):
    """What every kind of store has.

    `recipients` are age public keys; with one or more, everything that tells about the data is
    encrypted to all of them. `identity` is where the private key is; only drills and restores
    need it. `monitors`: see `ServerSettings`. `digest_key` turns the manifest's digest into an HMAC
    and puts a tag of it into the names of verdicts: those without count no more.
    """

    recipients: tuple[str, ...] = ()
    identity: SecretReference | None = None
    digest_key: SecretReference | None = None
    monitors: dict[Literal["verify-backups"], SecretReference] = {}
    retention: StoreRetention = StoreRetention()


class FolderStore(StoreBase):
    """A local folder (or a mounted one)."""

    kind: Literal["folder"] = "folder"
    path: Annotated[str, Field(min_length=1), AfterValidator(_path)]


class S3Store(StoreBase):
    """A bucket of AWS or of another S3 server.

    `endpoint_url` empty means AWS. `prefix` is put before each key. `path_style` and
    `checksums="when_required"` are for servers other than AWS, and are the default when an
    endpoint is given. `lock_days` asks for object-lock retention in the given mode.
    """

    kind: Literal["s3"] = "s3"
    bucket: str
    prefix: str = ""
    endpoint_url: str = ""
    region: str = ""
    access_key: SecretReference | None = None
    secret_key: SecretReference | None = None
    path_style: bool | None = None
    checksums: Literal["when_supported", "when_required"] | None = None
    part_size_mib: int = Field(default=8, ge=5, le=1024)
    parts_in_flight: int = Field(default=4, ge=1, le=32)
    max_parts: int = Field(default=10000, ge=100, le=10000)
    encryption: Literal["", "AES256", "aws:kms"] = ""
    kms_key_id: str = ""
    lock_mode: Literal["", "GOVERNANCE", "COMPLIANCE"] = ""
    lock_days: int = Field(default=0, ge=0, le=36500)


StoreSettings = Annotated[FolderStore | S3Store, Field(discriminator="kind")]


class ServerSettings(Frozen):
    """A PostgreSQL server and where its backups go.

    `where` is where pg_dump and pg_dumpall run. `host` is a name, an address or the folder of a
    Unix socket, as it is known there. `tools` is the folder of the client programs there (empty:
    `PATH`, then the usual folders, and here the ones that came with this product). `ssh_key` is
    where a private key is (without one the SSH agent's keys are tried), `ssh_known_hosts` a file
    (empty: the usual ones), `docker_host` the engine's socket (empty: `DOCKER_HOST`). `exclude` names
    databases that are not backed up; each is named in every report. `copies` are stores that get
    a second copy. `monitors` are push addresses, by operation, that are called after each success:
    a monitor outside Prefect (Uptime Kuma and the like) tells when the calls stop. `jobs` is how many
    databases are read at once. `proof_sample_percent` below 100 hashes only so many rows in a hundred (by
    primary key): a drill of such a set is `sampled`, never `passed`.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=5432, ge=1, le=65535)
    where: Where = "local"
    user: str = "postgres"
    password: SecretReference | None = None
    maintenance_database: str = "postgres"
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = "prefer"
    sslrootcert: str = ""
    tools: str = ""
    ssh_key: SecretReference | None = None
    ssh_known_hosts: str = ""
    docker_host: str = ""
    exclude: tuple[str, ...] = ()
    store: Name
    copies: tuple[Name, ...] = ()
    jobs: int = Field(default=2, ge=1, le=64)
    stall_minutes: float = Field(default=10, gt=0, le=1440)
    lock_wait_seconds: int = Field(default=60, ge=1, le=86400)
    snapshot_limit_minutes: float = Field(default=240, gt=0, le=10080)
    proof_sample_percent: int = Field(default=100, ge=1, le=100)
    monitors: dict[Literal["nightly-backup", "restore-drill", "check-backups"], SecretReference] = {}


class Settings(Frozen):
    """The whole file: servers and stores by name."""

    servers: dict[Name, ServerSettings] = Field(min_length=1)
    stores: dict[Name, StoreSettings] = Field(min_length=1)
