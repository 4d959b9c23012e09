"""Which set each database of a restore comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.errors import ConfigurationError
from engine.repository.keys import Asset, SetKey
from engine.repository.manifest import read_manifest
from engine.repository.repository import Repository
from engine.repository.stored import NEWEST, Catalogue, StoredSet
from engine.repository.verdicts import State
from engine.sources.postgres.kinds import CLUSTER, DATABASE

_OWN = ("postgres", "template1")
"""Every server has these; they come back only when they are asked for by name."""


@dataclass(frozen=True, slots=True)
class RestoreChoice:
    """One database and the set (its own or a cluster set) it comes from.

    `state` is the set's when it was chosen; None where nobody asked. `failed` is the newest set of its own where that
    was passed over because it failed.
    """

    database: str
    key: SetKey
    state: State | None = None
    failed: SetKey | None = None


def choose(
    catalogue: Catalogue, repository: Repository, server: str, databases: Sequence[str], which: str = "newest"
) -> tuple[RestoreChoice, ...]:
    """Which set each database comes from; no database named means all of them.

    `which` is a word of the catalogue (`newest-proven`), an id or a key; a cluster set's gives its databases. A word
    looks among a database's own sets and among the cluster sets that hold it. `newest` is the newest that did not
    fail, of its own sets where there is one: an archive is loaded by several sessions. All are then those of the
    newest cluster set that did not fail, so that what was dropped before it stays away, and those stored since;
    without a cluster set, all that have a set.

    Raises:
        ConfigurationError: no such set or database.
        OperationFailed: no set of a database fits the word.
    """
    if which in NEWEST:
        return _of_word(catalogue, repository, server, databases, which)
    found = catalogue.find(which, _asset(server, databases[0] if len(databases) == 1 else ""))
    held = _held(repository, found.key)
    if unknown := [name for name in databases if name not in held]:
        raise ConfigurationError(f"{found.key} has no database {unknown[0]!r}; it has: {', '.join(held[:20])}.")
    wanted = databases or [name for name in held if name not in _OWN]
    return tuple(RestoreChoice(name, found.key, found.state) for name in wanted)


def _asset(server: str, database: str = "") -> Asset:
    """One database, or the whole server."""
    return Asset(server, DATABASE.name, database) if database else Asset(server, CLUSTER.name, "")


def _of_word(
    catalogue: Catalogue, repository: Repository, server: str, databases: Sequence[str], which: str
) -> tuple[RestoreChoice, ...]:
    clusters = _ClusterSets(catalogue, repository, server)
    wanted = databases or [name for name in _all(catalogue, clusters, server) if name not in _OWN]
    if not wanted:
        raise ConfigurationError(
            f"{repository.store.address} has no database of {server} to restore; `list` shows what it has."
        )
    return tuple(_choice(catalogue, clusters, server, name, which) for name in wanted)


def _all(catalogue: Catalogue, clusters: _ClusterSets, server: str) -> tuple[str, ...]:
    """What the server had when its newest usable cluster set was made, and what was stored on its own since."""
    databases = ((asset, sets) for asset, sets in catalogue.assets.items() if asset.kind == DATABASE.name)
    own = {asset.name: sets for asset, sets in databases if asset.source == server}
    newest = catalogue.newest(_asset(server), "newest-usable")
    if newest is None:
        return tuple(own)
    since = (name for name, sets in own.items() if sets[0].created > newest.created)
    return tuple(dict.fromkeys((*clusters.databases(newest.key), *since)))


def _choice(catalogue: Catalogue, clusters: _ClusterSets, server: str, database: str, which: str) -> RestoreChoice:
    best = _best(catalogue, clusters, server, database, which)
    newest = catalogue.newest(_asset(server, database))
    failed = newest if newest and newest.state == "failed" and newest.created >= best.created else None
    return RestoreChoice(database, best.key, best.state, failed and failed.key)


def _best(catalogue: Catalogue, clusters: _ClusterSets, server: str, database: str, which: str) -> StoredSet:
    word = "newest-usable" if which == "newest" else which
    own = catalogue.newest(_asset(server, database), word)
    if own and which == "newest":
        return own
    return clusters.newest_with(database, word, own) or own or catalogue.find(word, _asset(server, database))


class _ClusterSets:
    """A server's cluster sets. What one holds is in its manifest, which is read when it is asked for, and once."""

    def __init__(self, catalogue: Catalogue, repository: Repository, server: str) -> None:
        self._sets = catalogue.assets.get(_asset(server), ())
        self._target = repository
        self._known: dict[SetKey, tuple[str, ...]] = {}

    def newest_with(self, database: str, word: str, own: StoredSet | None) -> StoredSet | None:
        """The newest that holds the database and that `word` accepts; None when none is newer than its `own` set."""
        for one in self._sets:
            if own and one.created <= own.created:
                break
            if one.state in NEWEST[word] and database in self.databases(one.key):
                return one
        return None

    def databases(self, key: SetKey) -> tuple[str, ...]:
        if key not in self._known:
            self._known[key] = _held(self._target, key)
        return self._known[key]


def _held(repository: Repository, key: SetKey) -> tuple[str, ...]:
    """The databases that a set's manifest names, in the order of its files."""
    return tuple(file.of for file in read_manifest(repository, key).of_roles("sql", "dump") if file.of)
