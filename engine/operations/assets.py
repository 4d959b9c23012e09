"""Which thing of a source is meant where nothing is named."""

from __future__ import annotations

from engine.config.settings import SourceSettings
from engine.errors import ConfigurationError
from engine.repository.keys import Asset
from engine.repository.manifest import read_manifest
from engine.repository.parsing import parse_set_meant
from engine.repository.repository import Repository
from engine.repository.stored import NEWEST, Catalogue, StoredSet
from engine.sources import registry


def assets_meant(text: str, settings: SourceSettings | None, source: str, stored: Catalogue) -> list[Asset]:
    """The same, and of a source whose first kind has names, for a word, each that there is a set of: what a drill that
    nobody started is about. Names that the configuration excludes are left out."""
    if settings is None or text not in NEWEST:
        return [asset_meant(text, settings, source, stored)]
    kind = registry.type_of(settings).kinds[0]
    found = [each for each in stored.assets if (each.source, each.kind) == (source, kind.name)]
    kept = [each for each in found if each.name not in settings.exclude]
    return sorted(kept) if kind.named and len(found) > 1 and kept else [asset_meant(text, settings, source, stored)]


def asset_meant(text: str, settings: SourceSettings | None, source: str, stored: Catalogue) -> Asset:
    """What the set that `text` names (a key, an id, a word) is of: for a word the source's first kind, of which there
    is one thing only, such as a whole server. `settings` None: the source is not configured here.

    Raises:
        ConfigurationError: the word's kind has names, and there are sets of several.
    """
    if key := parse_set_meant(text):
        return key.asset
    kind = (registry.type_of(settings).kinds if settings else tuple(registry.kinds()))[0]
    found = [asset for asset in stored.assets if (asset.source, asset.kind) == (source, kind.name)]
    if kind.named and len(found) > 1 and text in NEWEST:
        names = ", ".join(asset.name for asset in found[:20])
        raise ConfigurationError(f"{source} has sets of several: {names}; say which {kind.noun} is meant.")
    return found[0] if kind.named and len(found) == 1 else Asset(source, kind.name, "")


def set_meant(repository: Repository, stored: Catalogue, text: str, asset: Asset) -> StoredSet:
    """The set that somebody means by a word, an id or a key. A word means one thing everywhere, as in a restore: the
    newest set that it accepts and that holds what is asked for, be it its own or one of the whole source; `newest` its own.

    Raises:
        ConfigurationError, OperationFailed: as `Catalogue.find`.
    """
    if text not in NEWEST or text == "newest" or not asset.name:
        return stored.find(text, asset)
    own = stored.newest(asset, text)
    whole = (
        one for each, sets in stored.assets.items() if each.source == asset.source and not each.name for one in sets
    )
    for one in sorted(whole, key=lambda one: one.key.set_id, reverse=True):
        if own and one.created <= own.created:
            break
        if one.state in NEWEST[text] and asset.name in {file.of for file in read_manifest(repository, one.key).files}:
            return one
    return own or stored.find(text, asset)
