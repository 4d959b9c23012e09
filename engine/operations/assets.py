"""Which thing of a source is meant where nothing is named."""

from __future__ import annotations

from engine.config.settings import SourceSettings
from engine.errors import ConfigurationError
from engine.repository.keys import Asset
from engine.repository.parsing import parse_set_folder
from engine.repository.stored import NEWEST, Catalogue
from engine.sources import registry


def asset_meant(text: str, settings: SourceSettings | None, source: str, stored: Catalogue) -> Asset:
    """What the set that `text` names (a key, an id, a word) is of: for a word the source's first kind, of which there
    is one thing only, such as a whole server. `settings` None: the source is not configured here.

    Raises:
        ConfigurationError: the word's kind has names, and there are sets of several.
    """
    if key := parse_set_folder(text.strip("/")):
        return key.asset
    kind = (registry.type_of(settings).kinds if settings else tuple(registry.kinds()))[0]
    found = [asset for asset in stored.assets if (asset.source, asset.kind) == (source, kind.name)]
    if kind.named and len(found) > 1 and text in NEWEST:
        names = ", ".join(asset.name for asset in found[:20])
        raise ConfigurationError(f"{source} has sets of several: {names}; say which {kind.noun} is meant.")
    return found[0] if kind.named and len(found) == 1 else Asset(source, kind.name, "")
