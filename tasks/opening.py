"""Open what names stand for. Only tasks do."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import httpx
from prefect.blocks.core import Block
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import BlockDocument

from blocks import BackupStore, Cluster, Platform, PlatformHost, source_blocks
from blocks.config_block import NoSuchBlock
from engine.config.names import LOCAL
from engine.config.platforms import PlatformSettings
from engine.config.settings import SourceSettings, StoreSettings
from engine.errors import ConfigurationError
from engine.hosts.settings import HostSettings
from engine.kubernetes.connection import Connection
from engine.releases import platform as opened
from engine.repository.repository import Repository, open_repository
from engine.sources.base import Source
from engine.sources.postgres.server.server import Server
from engine.sources.postgres.settings import ServerSettings
from engine.sources.registry import type_of
from tasks.patience import patient


def source_settings(name: str) -> SourceSettings:
    """What the block of that source says, of whatever type it is.

    Raises:
        ConfigurationError: there is none, or what somebody saved in it is not valid.
    """
    for block in source_blocks():
        with suppress(NoSuchBlock):
            return patient(partial(block.named, name)).settings()
    raise ConfigurationError(
        f"There is no source {name} in Prefect; add {name} to platform-ops.toml and run `python -m deployments.apply`."
    )


def documents(client: SyncPrefectClient, block: type[Block]) -> list[BlockDocument]:
    """The blocks of a type that Prefect may not know: there is none of it then."""
    try:
        return client.read_block_documents_by_type(block.get_block_type_slug())
    except httpx.HTTPStatusError as error:
        if error.response.status_code == httpx.codes.NOT_FOUND:
            return []
        raise


def settings_of_sources() -> dict[str, SourceSettings]:
    """What every source's block says, by name; one that is not valid is left out.

    Raises:
        httpx.HTTPError: Prefect does not answer, or refuses.
    """
    with get_client(sync_client=True) as client:
        named = [(block, each.name) for block in source_blocks() for each in documents(client, block) if each.name]
    found: dict[str, SourceSettings] = {}
    for block, name in named:
        with suppress(ConfigurationError):
            found[name] = block.named(name).settings()
    return found


def host_of(settings: SourceSettings) -> HostSettings:
    """Where a source runs."""
    platform = platform_of(settings) if settings.runs_on == LOCAL else None
    return _host_named(platform.runs_on if platform else settings.runs_on)


def _host_named(name: str) -> HostSettings:
    return HostSettings() if name == LOCAL else patient(lambda: PlatformHost.named(name)).settings()


def platform_of(settings: SourceSettings) -> PlatformSettings | None:
    """The platform that a source is a part of; None where it names none."""
    name = settings.platform
    return None if name is None else patient(lambda: Platform.named(name)).settings()


def open_platform_of(name: str) -> opened.Platform:
    """The platform of that name.

    Raises:
        ConfigurationError: there is none.
    """
    settings = patient(lambda: Platform.named(name)).settings()
    return opened.open_platform(name, settings, _host_named(settings.runs_on))


def open_cluster(name: str) -> Connection:
    """The application in a cluster of that name.

    Raises:
        ConfigurationError: there is none.
    """
    return Connection(name, patient(lambda: Cluster.named(name)).settings())


def store_settings(name: str) -> StoreSettings:
    """What the block of that backup store says."""
    return patient(lambda: BackupStore.named(name)).settings()


def open_source(name: str) -> Source:
    """The source of that name."""
    settings = source_settings(name)
    return type_of(settings).opened(name, settings, host_of(settings), platform_of(settings))


def open_server(name: str) -> Server:
    """The PostgreSQL server of that name.

    Raises:
        ConfigurationError: it is another type of source.
    """
    settings = source_settings(name)
    if not isinstance(settings, ServerSettings):
        raise ConfigurationError(f"{name} is no PostgreSQL server; choose one that is.")
    return Server(name, settings, host_of(settings))


def open_store(name: str) -> Repository:
    """The backup store of that name."""
    return open_repository(name, store_settings(name))


def store_of(source: str, store: str = "") -> str:
    """The given store's name, or the one the source's backups go to."""
    return store or source_settings(source).store
