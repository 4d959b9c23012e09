"""What a shell offers after TAB: names of the configuration, and of what the stores hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

from engine.config.settings import Settings
from engine.errors import PlatformOpsError
from engine.repository.catalogue import catalogue
from engine.repository.repository import open_repository
from engine.repository.stored import NEWEST, StoredSet, by_age
from engine.sources import registry

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def names_of(what: str) -> Complete:
    """The configured `sources` or `stores`."""

    def complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        try:
            names = getattr(_settings(ctx), what)
        except PlatformOpsError:
            return []  # completion is no place for an error
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]

    return complete


def sets(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The words that stand for a set, and the ids of those that are stored, the newest first."""
    stored = sorted(_stored(ctx), key=by_age, reverse=True)
    ids = ((one.key.set_id, f"{one.key.asset.label}, {one.state}") for one in stored)
    known = [*((word, "") for word in NEWEST), *ids]
    return [CompletionItem(text, help=what) for text, what in known if text.startswith(incomplete)]


def names_in_sets(kind: str) -> Complete:
    """What there are sets of, of a kind: names of databases."""

    def complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        names = dict.fromkeys(one.key.name for one in _stored(ctx) if one.key.kind == kind)
        return [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]

    return complete


def _settings(ctx: click.Context) -> Settings:
    shared = ctx.obj or {}
    return registry.load_settings(ctx.params.get("config") or shared.get("config"))


def _stored(ctx: click.Context) -> Iterable[StoredSet]:
    """All sets of what the words before name; none where the store does not answer."""
    try:
        settings = _settings(ctx)
        for source in [ctx.params["source"]] if ctx.params.get("source") else settings.sources:
            store = ctx.params.get("store") or settings.source(source).store
            yield from catalogue(open_repository(store, settings.store(store)), source).sets
    except PlatformOpsError:
        return
