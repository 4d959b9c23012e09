"""Which set each database of a restore comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.errors import ConfigurationError
from engine.sets.catalogue import NEWEST, Catalogue
from engine.sets.keys import SetKey
from engine.sets.reading import read_manifest
from engine.sets.target import Target

_OWN = ("postgres", "template1")
"""Every server has these; they come back only when they are asked for by name."""


@dataclass(frozen=True, slots=True)
class RestoreChoice:
    """One database and the set (its own or a cluster set) it comes from."""

    database: str
    key: SetKey


def choose(
    catalogue: Catalogue, target: Target, server: str, databases: Sequence[str], which: str = "newest"
) -> tuple[RestoreChoice, ...]:
    """Which set each database comes from; no database named means all that the sets have.

    `which` is a word of the catalogue (`newest-proven`), an id or a key; a cluster set's gives its
    databases. `newest` is the newest that did not fail.

    Raises:
        ConfigurationError: no such set or database.
    """
    if which in NEWEST:
        return _of_their_own_sets(catalogue, target, server, databases, which)
    key = catalogue.find(which, server, databases[0] if len(databases) == 1 else None).key
    held = [
        file.database
        for file in read_manifest(target, key).files
        if file.kind in ("sql", "dump") and file.database
    ]
    if unknown := [name for name in databases if name not in held]:
        raise ConfigurationError(f"{key} has no database {unknown[0]!r}; it has: {', '.join(held[:20])}.")
    wanted = databases or [name for name in held if name not in _OWN]
    return tuple(RestoreChoice(name, key) for name in wanted)


def _of_their_own_sets(
    catalogue: Catalogue, target: Target, server: str, databases: Sequence[str], which: str
) -> tuple[RestoreChoice, ...]:
    word = "newest-usable" if which == "newest" else which
    scopes = [name for at, name in catalogue.scopes if at == server and name is not None]
    wanted = databases or [name for name in scopes if name not in _OWN]
    if not wanted:
        raise ConfigurationError(
            f"{target.store.address} has no database sets of {server}; `list` shows what it has."
        )
    return tuple(RestoreChoice(name, catalogue.find(word, server, name).key) for name in wanted)
