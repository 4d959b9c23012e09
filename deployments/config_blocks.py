"""Blocks from platform-ops.toml: the file wins, and what it changes is shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import BlockDocument
from prefect.exceptions import ObjectNotFound
from pydantic import BaseModel

from blocks import BackupStore, Cluster, Platform, PlatformHost, source_block, source_blocks
from blocks.config_block import ConfigBlock
from engine.config.settings import Settings
from engine.secrets import SecretReference
from engine.sources.registry import type_of

_Flat = dict[str, Any]


def config_blocks(settings: Settings) -> Iterator[tuple[str, ConfigBlock]]:
    """Each block the file describes, with its name."""
    for name, store in settings.stores.items():
        yield name, BackupStore.of(store)
    for name, host in settings.hosts.items():
        yield name, PlatformHost.of(host)
    for name, platform in settings.platforms.items():
        yield name, Platform.of(platform)
    for name, cluster in settings.clusters.items():
        yield name, Cluster.of(cluster)
    for name, source in settings.sources.items():
        yield name, source_block(type_of(source)).of(source)


def apply_block(client: SyncPrefectClient, name: str, block: ConfigBlock) -> list[str]:
    """Write one block if it differs from the server's; the lines say what was done."""
    title = f"{block.get_block_type_slug()}/{name}"
    found = _stored(client, block, name)
    if found is None:
        block.save(name)
        return [f"+ {title}"]
    changes = differences(_known(found, block), _values(block), secret_fields(block))
    if found.block_schema_id != type(block)._block_schema_id:
        changes.append("its form")  # else the UI keeps showing that of the version that made it
    if not changes:
        return [f"= {title}"]
    block.save(name, overwrite=True)
    return [f"~ {title}: {change}" for change in changes]


def unmanaged_blocks(client: SyncPrefectClient, settings: Settings) -> list[str]:
    """Blocks of our types that the file does not describe, as `type/name`."""
    known = {f"{block.get_block_type_slug()}/{name}" for name, block in config_blocks(settings)}
    found = [
        f"{slug}/{document.name}"
        for slug in (each.get_block_type_slug() for each in _types())
        for document in client.read_block_documents_by_type(slug, include_secrets=False)
    ]
    return [title for title in found if title not in known]


def register_types() -> None:
    """Let the Prefect server know our types of block, as this version has them."""
    for each in _types():
        each.register_type_and_schema()


def _types() -> list[type[ConfigBlock]]:
    return [BackupStore, Cluster, Platform, PlatformHost, *source_blocks()]


def _stored(client: SyncPrefectClient, block: ConfigBlock, name: str) -> BlockDocument | None:
    try:
        return client.read_block_document_by_name(name, block.get_block_type_slug())
    except ObjectNotFound:
        return None


def _known(document: BlockDocument, block: ConfigBlock) -> _Flat:
    """What the server has, without what the code does not know (any more)."""
    known = type(block).model_fields
    return dict(flat({key: value for key, value in document.data.items() if key in known}))


def _values(block: ConfigBlock) -> _Flat:
    data = block.model_dump(mode="json", include=set(type(block).model_fields))
    return dict(flat({key: data[key] for key in type(block).model_fields}))


def flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """A nested mapping as dotted names."""
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            yield from flat(inner, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", inner


def differences(before: _Flat, after: _Flat, secret: set[str]) -> list[str]:
    """What changes from `before` to `after`, a line each.

    Fields in `secret` hold references, but somebody may have typed the secret itself into the form:
    their values are never shown.
    """
    lines = []
    for key in sorted(before.keys() | after.keys()):
        if key not in before:
            lines.append(f"{key} is new")
        elif key not in after:
            lines.append(f"{key} goes")
        elif before[key] != after[key]:
            hidden = key.partition(".")[0] in secret
            lines.append(f"{key} changes" if hidden else f"{key} {before[key]!r} -> {after[key]!r}")
    return lines


def secret_fields(model: BaseModel) -> set[str]:
    """Names of the fields that hold secrets' references: one, or several by name."""
    fields = type(model).model_fields.items()
    return {name for name, field in fields if SecretReference in get_args(field.annotation)}


def only_inside_prefect(settings: Settings) -> list[str]:
    """Where the file uses `prefect:` references, which a shell cannot read on the worst day."""
    parts: dict[str, Mapping[str, BaseModel]] = {
        "sources": settings.sources,
        "stores": settings.stores,
        "hosts": settings.hosts,
    }
    return [
        f"{part}.{name}.{field}"
        for part, models in parts.items()
        for name, model in models.items()
        for field, value in sorted(flat(model.model_dump(include=secret_fields(model))))
        if str(value).startswith("prefect:")
    ]
