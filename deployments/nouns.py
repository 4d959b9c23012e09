"""Blocks from platform-ops.toml: the file wins, and what it changes is shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import BlockDocument
from prefect.exceptions import ObjectNotFound
from pydantic import BaseModel

from blocks import BackupStore, PostgresServer
from blocks.noun import Noun
from engine.config.secrets import SecretReference
from engine.config.settings import Settings

_Flat = dict[str, Any]


def nouns(settings: Settings) -> Iterator[tuple[str, Noun]]:
    """Each block the file describes, with its name."""
    for name, store in settings.stores.items():
        yield name, BackupStore.of(store)
    for name, server in settings.servers.items():
        yield name, PostgresServer.of(server)


def apply_noun(client: SyncPrefectClient, name: str, noun: Noun) -> list[str]:
    """Write one block if it differs from the server's; the lines say what was done."""
    title = f"{noun.get_block_type_slug()}/{name}"
    found = _stored(client, noun, name)
    type(noun).register_type_and_schema()
    if found is None:
        noun.save(name)
        return [f"+ {title}"]
    changes = differences(_known(found, noun), _values(noun), secret_fields(noun))
    if found.block_schema_id != type(noun)._block_schema_id:
        changes.append("its form")  # else the UI keeps showing that of the version that made it
    if not changes:
        return [f"= {title}"]
    noun.save(name, overwrite=True)
    return [f"~ {title}: {change}" for change in changes]


def strangers(client: SyncPrefectClient, settings: Settings) -> list[str]:
    """Blocks of our types that the file does not describe, as `type/name`."""
    known = {f"{noun.get_block_type_slug()}/{name}" for name, noun in nouns(settings)}
    found = [
        f"{slug}/{document.name}"
        for slug in (BackupStore.get_block_type_slug(), PostgresServer.get_block_type_slug())
        for document in client.read_block_documents_by_type(slug, include_secrets=False)
    ]
    return [title for title in found if title not in known]


def _stored(client: SyncPrefectClient, noun: Noun, name: str) -> BlockDocument | None:
    try:
        return client.read_block_document_by_name(name, noun.get_block_type_slug())
    except ObjectNotFound:
        return None


def _known(document: BlockDocument, noun: Noun) -> _Flat:
    """What the server has, without what the code does not know (any more)."""
    known = type(noun).model_fields
    return dict(flat({key: value for key, value in document.data.items() if key in known}))


def _values(noun: Noun) -> _Flat:
    data = noun.model_dump(mode="json", include=set(type(noun).model_fields))
    return dict(flat({key: data[key] for key in type(noun).model_fields}))


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
    parts: dict[str, Mapping[str, BaseModel]] = {"servers": settings.servers, "stores": settings.stores}
    return [
        f"{part}.{name}.{field}"
        for part, models in parts.items()
        for name, model in models.items()
        for field, value in sorted(flat(model.model_dump(include=secret_fields(model))))
        if str(value).startswith("prefect:")
    ]
