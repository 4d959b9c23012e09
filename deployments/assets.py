"""What the forms may offer as of now: asked of the sources themselves and of their stores."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient

from engine.config.settings import Settings
from engine.errors import PlatformOpsError
from engine.releases.platform import open_platform
from engine.releases.versions import versions_there
from engine.reports.stored_sets import listing_of
from engine.repository.catalogue import catalogue
from engine.repository.repository import open_repository
from engine.repository.stored import StoredSet
from engine.sources.registry import open_source
from tasks.forms import choices
from tasks.stored_list import write_list

Reporter = Callable[[str], None]


def known_assets(settings: Settings, report: Reporter) -> tuple[str, ...]:
    """What every source that answers has, and what there are sets of, for the forms: `cluster`, `db/kohub`."""
    found: set[tuple[str, str]] = set()
    for name, source in settings.sources.items():
        for known in (_there, _stored):  # either alone is worth offering
            try:
                found |= known(settings, name, source.store)
            except PlatformOpsError as error:
                report(f"? the forms do not offer all that {name} has: {error}")
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


def known_versions(settings: Settings, report: Reporter) -> dict[str, tuple[str, ...]]:
    """By service of any platform the versions whose images are on its host, for the forms of a deploy."""
    found: dict[str, set[str]] = {}
    for name, platform in settings.platforms.items():
        try:
            for service, versions in versions_there(open_platform(name, platform, settings.hosts)).items():
                found.setdefault(service, set()).update(versions)
        except PlatformOpsError as error:
            report(f"? the forms do not offer the services of {name}: {error}")
    return {service: tuple(sorted(versions)) for service, versions in sorted(found.items())}


def stored_lists(client: SyncPrefectClient, settings: Settings) -> dict[str, UUID]:
    """By source, the artifact that lists its sets, written anew; none where its store does not answer."""
    lists, now = {}, datetime.now(UTC)
    for name, source in settings.sources.items():
        with suppress(PlatformOpsError):  # `known_assets` says so
            repository = open_repository(source.store, settings.stores[source.store])
            lists[name] = write_list(client, listing_of(repository, name, now), now)
    return lists
