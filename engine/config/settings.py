"""What platform-ops.toml may say, whatever is kept: sources, stores, retention. Frozen, unknown keys refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import Field, field_validator

from engine.config.clusters import ClusterSettings
from engine.config.names import LOCAL, Name
from engine.config.platforms import PlatformSettings
from engine.errors import ConfigurationError
from engine.hosts.settings import HostSettings
from engine.secrets import SecretReference
from engine.settings_model import Frozen
from engine.stores.settings import FolderSettings, S3Settings

Kind = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{0,30}$")]
"""A kind of things that are kept: it is a part of their sets' keys."""
_Named = TypeVar("_Named")


class Retention(Frozen):
    """How long the sets of one thing are kept. A set stays while *any* rule wants it.

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
    needed_by: str = Field(default="", pattern=r"^([a-z][a-z0-9]{0,30})?$")
    """A kind of the same source whose sets need these: one stays while a set that stays needs it, or it is younger than
    `days`, and no other rule keeps it."""


class StoreBase(Frozen):
    """What is configured of every kind of store beside where it is."""

    recipients: tuple[str, ...] = ()
    """age public keys (age1...). With one or more, all that tells about the data is encrypted to each of them."""
    identity: SecretReference | None = None
    """Where the age private key is: env:NAME, file:/path or prefect:block. Only drills and restores need it."""
    digest_key: SecretReference | None = None
    """Where a key is that makes manifests and verdicts unforgeable for whoever lacks it: those without its seal
    count no more. env:NAME, file:/path or prefect:block."""
    monitors: dict[Literal["verify-backups"], SecretReference] = Field(default={})
    """By operation, where a push address is that is called after each success. The address is a secret."""
    retention: dict[Kind, Retention] = Field(default={})
    """By kind of set, how long sets are kept; what is not said is as the kind has it."""


class FolderStore(FolderSettings, StoreBase):
    """A local folder (or a mounted one)."""


class S3Store(S3Settings, StoreBase):
    """A bucket of AWS or of another S3 server."""


StoreSettings = Annotated[FolderStore | S3Store, Field(discriminator="kind")]


class SourceSettings(Frozen):
    """What everything that is kept has: where it runs, where its sets go."""

    operations: ClassVar[tuple[str, ...]] = ("nightly-backup", "restore-drill", "check-backups")
    """The operations that may have a monitor."""

    runs_on: Name = LOCAL
    """The host it runs on, by its name in [hosts]: local is the worker's own machine."""
    platform: Name | None = None
    """The platform that it is a part of, by name: it runs where that does, unless runs_on says otherwise."""
    store: Name
    """The backup store its sets go to, by name."""
    copies: tuple[Name, ...] = ()
    """Stores that get a second copy of each set, by name."""
    exclude: tuple[str, ...] = ()
    """Names that are not backed up; every report has them."""
    jobs: int = Field(default=1, ge=1, le=64)
    """How many things are read at once."""
    max_age_hours: dict[Kind, Annotated[float, Field(gt=0, le=8760)]] = Field(default={})
    """By kind of set, after how many hours without a new one it is overdue; what is not said is as the kind has it."""
    monitors: dict[str, SecretReference] = Field(default={})
    """By operation (nightly-backup, restore-drill, check-backups), where a push address is that is called after each
    success, so that a monitor outside Prefect (Uptime Kuma and the like) notices when the calls stop. It is a secret."""

    @property
    def declared(self) -> Mapping[str, tuple[str, ...]]:
        """By kind of set, names of which there has to be one: what is waited for although nothing is stored of it."""
        return {}

    @field_validator("monitors")
    @classmethod
    def _known_operations(cls, monitors: dict[str, SecretReference]) -> dict[str, SecretReference]:
        if unknown := [name for name in monitors if name not in cls.operations]:
            raise ValueError(f"there is no operation {unknown[0][:40]!r}; there are: {', '.join(cls.operations)}")
        return monitors


@dataclass(frozen=True)
class Settings:
    """The whole file: hosts, what is kept, and stores, each by name and in the file's order."""

    sources: Mapping[str, SourceSettings]
    stores: Mapping[str, StoreSettings]
    hosts: Mapping[str, HostSettings] = field(default_factory=dict)
    platforms: Mapping[str, PlatformSettings] = field(default_factory=dict)
    clusters: Mapping[str, ClusterSettings] = field(default_factory=dict)

    def cluster(self, name: str) -> ClusterSettings:
        """The application in a cluster of this name; raises as `source`."""
        return _named(self.clusters, name, "cluster")

    def platform(self, name: str) -> PlatformSettings:
        """The platform of this name; raises as `source`."""
        return _named(self.platforms, name, "platform")

    def host_of(self, source: SourceSettings) -> HostSettings:
        """Where it runs."""
        named = source.platform if source.runs_on == LOCAL else None
        runs_on = self.platforms[named].runs_on if named else source.runs_on
        return self.hosts[runs_on] if runs_on != LOCAL else HostSettings()

    def platform_of(self, source: SourceSettings) -> PlatformSettings | None:
        """What it is a part of; None where nothing is said."""
        return self.platforms[source.platform] if source.platform else None

    @property
    def platforms_of_sources(self) -> Mapping[str, str]:
        """By source, the platform that it is a part of, or whose databases it has."""
        backups = {platform.backup: name for name, platform in self.platforms.items() if platform.backup}
        named = {name: own.platform for name, own in self.sources.items() if own.platform}
        return {**backups, **named}

    def repositories_of(self, source: str) -> tuple[str, ...]:
        """The names of the stores that its sets go to, its own first."""
        known = self.source(source)
        return tuple(dict.fromkeys((known.store, *known.copies)))

    def source(self, name: str) -> SourceSettings:
        """The source of this name.

        Raises:
            ConfigurationError: there is none.
        """
        return _named(self.sources, name, "source")

    def store(self, name: str) -> StoreSettings:
        """The store of this name; raises as `source`."""
        return _named(self.stores, name, "store")


def _named(found: Mapping[str, _Named], name: str, what: str) -> _Named:
    try:
        return found[name]
    except KeyError:
        raise ConfigurationError(
            f"There is no {what} {name!r} in the configuration; there are: {', '.join(found)}."
        ) from None
