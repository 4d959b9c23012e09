"""What platform-ops.toml may say: servers, stores, retention. Frozen, unknown keys refused."""

from __future__ import annotations

import os.path
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

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
    """Settings never change once read, and a key that means nothing is a typing mistake.

    The text under a field is its help in Prefect's form for the block.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Retention(Frozen):
    """How long sets of one scope are kept. A set stays while *any* rule wants it.

    `daily`, `weekly`, `monthly` are grandfather-father-son: the newest of each that has one.
    """

    days: int = Field(default=30, ge=0, le=36500)
    """What is younger stays."""
    last: int = Field(default=0, ge=0, le=100000)
    """So many newest sets stay."""
    daily: int = Field(default=0, ge=0, le=36500)
    """The newest set of each of so many days stays."""
    weekly: int = Field(default=0, ge=0, le=5200)
    """The newest set of each of so many ISO weeks stays."""
    monthly: int = Field(default=0, ge=0, le=1200)
    """The newest set of each of so many months stays."""
    minimum: int = Field(default=3, ge=1, le=1000)
    """Never fewer good sets than this, whatever the other rules say."""


class StoreRetention(Frozen):
    """Retention of cluster sets (30 days) and of database sets (7 days)."""

    cluster: Retention = Retention(days=30)
    """Of sets of a whole server."""
    database: Retention = Retention(days=7)
    """Of sets of one database."""

    @field_validator("database", mode="before")
    @classmethod
    def _own_default(cls, value: object) -> object:
        """A table that says nothing of `days` means the database sets' 7, not the cluster sets' 30."""
        return {"days": 7, **value} if isinstance(value, dict) else value


class StoreBase(Frozen):
    """What every kind of store has."""

    recipients: tuple[str, ...] = ()
    """age public keys (age1...). With one or more, all that tells about the data is encrypted to each of them."""
    identity: SecretReference | None = None
    """Where the age private key is: env:NAME, file:/path or prefect:block. Only drills and restores need it."""
    digest_key: SecretReference | None = None
    """Where a key is that makes manifests and verdicts unforgeable for whoever lacks it: those without its seal
    count no more. env:NAME, file:/path or prefect:block."""
    monitors: dict[Literal["verify-backups"], SecretReference] = {}
    """By operation, where a push address is that is called after each success. The address is a secret."""
    retention: StoreRetention = StoreRetention()
    """How long sets are kept. A set stays while any rule wants it."""


class FolderStore(StoreBase):
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


class S3Store(StoreBase):
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


StoreSettings = Annotated[FolderStore | S3Store, Field(discriminator="kind")]


class ServerSettings(Frozen):
    """A PostgreSQL server and where its backups go."""

    host: str = "127.0.0.1"
    """A name, an address or the folder of a Unix socket, as it is known where the tools run."""
    port: int = Field(default=5432, ge=1, le=65535)
    """The server's port."""
    where: Where = "local"
    """Where pg_dump runs: local (the worker's host), container:NAME, or ssh:USER@HOST."""
    user: str = "postgres"
    """A superuser: everything has to be readable, the roles too."""
    password: SecretReference | None = None
    """Where the password is, never the password itself: env:NAME, file:/path or prefect:block."""
    maintenance_database: str = "postgres"
    """Where the backup lock is held; not through a transaction pooler."""
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = "prefer"
    """As in libpq; verify-full is the one that checks whom it talks to."""
    sslrootcert: str = ""
    """The file of the authority's certificate, for verify-ca and verify-full."""
    tools: str = ""
    """The folder of pg_dump and its like where they run. Empty: PATH, then the usual folders, then our own."""
    ssh_key: SecretReference | None = None
    """Where the SSH private key is. Without one the SSH agent's keys are tried."""
    ssh_known_hosts: str = ""
    """A file; empty: the usual ones. Unknown host keys are refused."""
    docker_host: str = ""
    """The engine's socket, such as unix:///run/podman/podman.sock. Empty: DOCKER_HOST."""
    exclude: tuple[str, ...] = ()
    """Databases that are not backed up; every report names them."""
    store: Name
    """The backup store its sets go to, by name."""
    copies: tuple[Name, ...] = ()
    """Stores that get a second copy of each set, by name."""
    jobs: int = Field(default=2, ge=1, le=64)
    """How many databases are read at once: as many as the server has cores to spare."""
    stall_minutes: float = Field(default=10, gt=0, le=1440)
    """No byte for so long ends a dump."""
    lock_wait_seconds: int = Field(default=60, ge=1, le=86400)
    """How long a dump waits for a table that somebody changes."""
    snapshot_limit_minutes: float = Field(default=240, gt=0, le=10080)
    """A snapshot holds back vacuum; one held longer is given up."""
    proof_sample_percent: int = Field(default=100, ge=1, le=100)
    """Below 100, only so many rows in a hundred are hashed (by primary key): a drill of such a set is `sampled`,
    never `passed`."""
    monitors: dict[Literal["nightly-backup", "restore-drill", "check-backups"], SecretReference] = {}
    """By operation, where a push address is that is called after each success, so that a monitor outside Prefect
    (Uptime Kuma and the like) notices when the calls stop. The address is a secret."""


class Settings(Frozen):
    """The whole file: servers and stores by name."""

    servers: dict[Name, ServerSettings] = Field(min_length=1)
    stores: dict[Name, StoreSettings] = Field(min_length=1)
