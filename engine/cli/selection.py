"""Which set an operator means: a word, an id, a key, in one of the stores."""

from __future__ import annotations

from dataclasses import dataclass

from engine.cli.invocation import Invocation
from engine.errors import ConfigurationError
from engine.sets.catalogue import Catalogue, StoredSet
from engine.sets.keys import parse_set_folder
from engine.sets.target import Target


@dataclass(frozen=True)
class Found:
    """A set, the store it was found in, and all that this store holds of its server."""

    target: Target
    catalogue: Catalogue
    set: StoredSet


def find_set(
    invocation: Invocation, text: str, *, server: str | None, store: str | None, database: str | None = None
) -> Found:
    """The set that `text` names: a key, an id or its start, `newest`, `newest-good`, `newest-proven`.

    A key names its server itself; else it is the given server, or the only one.

    Raises:
        ConfigurationError: there is no such set, or more than one.
        OperationFailed: no set fits the word.
    """
    name = server_meant(text, server)
    if store is None:
        name = invocation.server(name).name
    elif name is None:
        name = invocation.server(None).name
    target = invocation.target(store or invocation.stores(None, name)[0])
    stored = target.catalogue(name)
    return Found(target, stored, stored.find(text, name, database))


def server_meant(text: str, server: str | None) -> str | None:
    """The server that `text` names when it is a set's key, else the given one.

    Raises:
        ConfigurationError: both are given and differ.
    """
    key = parse_set_folder(text.strip("/"))
    if key and server not in (None, key.server):
        raise ConfigurationError(f"{text} is a set of {key.server}, not of {server}; leave out --server.")
    return key.server if key else server
