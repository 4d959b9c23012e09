"""What the forms may offer as of now: asked of the sources themselves and of their stores."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from engine.config.settings import Settings
from engine.errors import PlatformOpsError
from engine.repository.catalogue import catalogue
from engine.repository.repository import open_repository
from engine.repository.stored import StoredSet
from engine.sources.registry import open_source
from tasks.forms import choices

Say = Callable[[str], None]


def known_assets(settings: Settings, say: Say) -> tuple[str, ...]:
    """What every source that answers has, and what there are sets of, for the forms: `cluster`, `db/kohub`."""
    found: set[tuple[str, str]] = set()
    for name, source in settings.sources.items():
        for known in (_there, _stored):  # either alone is worth offering
            try:
                found |= known(settings, name, source.store)
            except PlatformOpsError as error:
                say(f"? the forms do not offer all that {name} has: {error}")
    return tuple(sorted(f"{kind}/{name}" if name else kind for kind, name in found))


def _there(settings: Settings, name: str, store: str) -> set[tuple[str, str]]:
    del store
    return {(item.kind, item.name) for item in open_source(settings, name).items() if not item.skipped}


def _stored(settings: Settings, name: str, store: str) -> set[tuple[str, str]]:
    repository = open_repository(store, settings.stores[store])
    return {(asset.kind, asset.name) for asset in catalogue(repository, name).assets}


def known_sets(settings: Settings) -> tuple[str, ...]:
    """What is stored, as forms offer it; of a store that does not answer the first run offers it."""
    found: list[StoredSet] = []
    for name, source in settings.sources.items():
        with suppress(PlatformOpsError):  # `known_assets` has said so
            repository = open_repository(source.store, settings.stores[source.store])
            found += catalogue(repository, name).sets
    return choices(found)
