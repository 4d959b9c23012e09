"""Every type of source there is. Whoever needs a kind asks here; nobody else imports one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from engine.config.file import find, load
from engine.config.settings import Retention, Settings, SourceSettings
from engine.errors import ConfigurationError, CouldNotVerify
from engine.sources.base import Source, SourceType
from engine.sources.certificates.source_type import CERTIFICATES
from engine.sources.images.source_type import IMAGES
from engine.sources.keycloak.source_type import KEYCLOAK
from engine.sources.kind import Kind
from engine.sources.postgres.source_type import POSTGRES
from engine.sources.volumes.source_type import VOLUMES

SOURCE_TYPES: tuple[SourceType, ...] = (POSTGRES, KEYCLOAK, VOLUMES, CERTIFICATES, IMAGES)


def kinds() -> Iterator[Kind]:
    """Every kind of set."""
    return (kind for each in SOURCE_TYPES for kind in each.kinds)


def type_of(settings: SourceSettings) -> SourceType:
    """The type of source that these are the settings of."""
    return next(each for each in SOURCE_TYPES if type(settings) is each.settings)


def type_of_kind(kind: str) -> SourceType:
    """The type of source that makes such sets.

    Raises:
        CouldNotVerify: nothing here knows the kind.
    """
    for each in SOURCE_TYPES:
        if any(one.name == kind for one in each.kinds):
            return each
    raise CouldNotVerify(
        f"This version knows no sets of kind {kind!r}; there are: {', '.join(one.name for one in kinds())}."
    )


def kind_named(name: str) -> Kind:
    """The kind of that name; raises as `type_of_kind`."""
    return next(one for one in type_of_kind(name).kinds if one.name == name)


def default_retention() -> Mapping[str, Retention]:
    """How long sets are kept where a store says nothing, by kind."""
    return {kind.name: kind.retention for kind in kinds()}


def load_settings(config: Path | None = None) -> Settings:
    """The configuration, with all that the kinds here may say in it; raises as `engine.config.file.load`."""
    settings = load(config, {each.section: each.settings for each in SOURCE_TYPES}, default_retention())
    for name, own in settings.sources.items():
        try:
            max_age_hours(own)
        except ConfigurationError as error:
            raise ConfigurationError(f"{find(config)}: {type_of(own).section}.{name}.{error}") from None
    return settings


def open_source(settings: Settings, name: str) -> Source:
    """The source of this name.

    Raises:
        ConfigurationError: there is none.
    """
    own = settings.source(name)
    return type_of(own).opened(name, own, settings.host_of(own), settings.platform_of(own))


def max_age_hours(settings: SourceSettings) -> Mapping[str, float]:
    """By kind, after how many hours without a new set a source is overdue; kinds that nobody waits for are left out.

    Raises:
        ConfigurationError: the settings give an age to a kind that nobody waits for, whose alarm would never end.
    """
    own = {kind.name: kind.max_age_hours for kind in type_of(settings).kinds if kind.max_age_hours is not None}
    if unknown := sorted(settings.max_age_hours.keys() - own):
        raise ConfigurationError(f"max_age_hours names the kind {unknown[0]!r}; there may be: {', '.join(own)}.")
    return own | dict(settings.max_age_hours)
