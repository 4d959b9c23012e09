"""Is the regular work of a source done? Asked of the stores themselves, so it notices also what never started."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from engine.config.settings import SourceSettings
from engine.errors import ConfigurationError, PlatformOpsError
from engine.repository.catalogue import catalogue
from engine.repository.freshness import Freshness, freshness
from engine.repository.repository import Repository
from engine.sources.base import Source
from engine.sources.registry import max_age_hours, type_of


def require_awaited(name: str, settings: SourceSettings) -> None:
    """Raises ConfigurationError where nobody waits for any kind it has: all that is asked of nothing would be well."""
    if not max_age_hours(settings):
        raise ConfigurationError(f"Nothing of {name} has an age at which it is overdue, so there is nothing to check.")


def check_source(
    name: str,
    settings: SourceSettings,
    open_store: Callable[[str], Repository],
    now: datetime,
    max_hours: float | None = None,
) -> tuple[Freshness, ...]:
    """When each of its assets was last recorded, verified and proven. `max_hours` None: as the kinds have it.
    Nobody waits for what the configuration excludes.

    Raises:
        ConfigurationError: see `require_awaited`.
        PlatformOpsError: a store cannot be listed.
    """
    require_awaited(name, settings)
    ages = {kind: max_hours or hours for kind, hours in max_age_hours(settings).items()}
    stores = dict.fromkeys((settings.store, *settings.copies))
    found = {store: catalogue(open_store(store), name) for store in stores}
    return freshness(name, found, now, ages, settings.exclude, settings.declared)


def forgotten(name: str, settings: SourceSettings, open_source: Callable[[str], Source]) -> tuple[str, ...]:
    """What the source has and nobody declared, in sentences; of a type of source that cannot have such, nothing is asked."""
    if not type_of(settings).has_undeclared:
        return ()
    try:
        return tuple(open_source(name).forgotten())
    except PlatformOpsError as error:
        return (f"{name} could not be asked what it has that nobody declared: {error}",)
