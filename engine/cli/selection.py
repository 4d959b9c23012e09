"""Which set an operator means: a word, an id, a key, in one of the stores."""

from __future__ import annotations

from dataclasses import dataclass

from engine.cli.invocation import Invocation
from engine.cli.kind_options import Wanted
from engine.errors import ConfigurationError
from engine.operations.assets import asset_meant, set_meant
from engine.repository.catalogue import catalogue
from engine.repository.keys import Asset
from engine.repository.parsing import parse_set_meant
from engine.repository.repository import Repository
from engine.repository.stored import Catalogue, StoredSet


@dataclass(frozen=True)
class Found:
    """A set, the repository it was found in, and all that this has of its source."""

    repository: Repository
    catalogue: Catalogue
    set: StoredSet


def find_set(
    invocation: Invocation, text: str, *, source: str | None, store: str | None, wanted: Wanted | None = None
) -> Found:
    """The set that `text` names: a key, an id or its start, `newest`, `newest-good`, `newest-proven`.

    A key names its source itself; else it is the given source, or the only one.

    Raises:
        ConfigurationError: there is no such set, or more than one.
        OperationFailed: no set fits the word.
    """
    name = source_meant(text, source)
    if store is None or name is None:
        name = invocation.source_name(name)
    repository = invocation.repository(store or invocation.stores(None, name)[0])
    stored = catalogue(repository, name)
    asset = (
        stored.called(Asset(name, *wanted))
        if wanted
        else asset_meant(text, invocation.settings.sources.get(name), name, stored)
    )
    return Found(repository, stored, set_meant(repository, stored, text, asset))


def source_meant(text: str, source: str | None) -> str | None:
    """The source that `text` names when it is a set's key, else the given one.

    Raises:
        ConfigurationError: both are given and differ.
    """
    key = parse_set_meant(text)
    if key and source not in (None, key.source):
        raise ConfigurationError(f"{text} is a set of {key.source}, not of {source}; leave out --source.")
    return key.source if key else source
