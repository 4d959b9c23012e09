"""Which set each database of a restore comes from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from engine.errors import ConfigurationError, OperationFailed, PlatformOpsError
from engine.repository.keys import Asset, SetKey
from engine.repository.manifest import read_manifest
from engine.repository.repository import Repository
from engine.repository.stored import NEWEST, Catalogue, StoredSet
from engine.repository.verdicts import State
from engine.sources.postgres.kinds import CLUSTER, DATABASE, facts_of
from engine.sources.postgres.server.holds import OWN
from engine.words.wording import meant

_BEST: tuple[State, ...] = ("proven", "verified", "recorded", "failed")
ALL_THE_SAME = "--despite-errors"


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


@dataclass(frozen=True)
class Choices:
    """The sets of a restore. `refused` are databases of which no set fits, `spare` those left out because they hold
    nothing but what every server has."""

    chosen: tuple[RestoreChoice, ...]
    refused: tuple[tuple[str, PlatformOpsError], ...] = ()
    spare: tuple[str, ...] = ()


def choose(
    catalogue: Catalogue,
    repository: Repository,
    server: str,
    databases: Sequence[str],
    which: str = "newest",
    *,
    despite_errors: bool = False,
) -> Choices:
    """Which set each database comes from; no database named means all of them that hold anything.

    `which` is a word of the catalogue (`newest-proven`), an id or a key; a cluster set's gives its databases. A word
    looks among a database's own sets and among the cluster sets that hold it. `newest` is the newest that did not
    fail; of those of one backup run a proven one before others, and its own before the cluster's: an archive is loaded by
    several sessions. All are then those of the newest cluster set that did not fail, so that what was dropped before it
    stays away, and those stored since; without a cluster set, all that have a set.

    `despite_errors`: where each has failed, the newest all the same; and of a cluster set's backup run the database's own
    set, since an archive is what can be taken in part.

    Raises:
        ConfigurationError: no such set or database.
        OperationFailed: no set of any database fits the word.
    """
    sets = _Sets(catalogue, repository, server, despite_errors)
    own = [asset.name for asset in catalogue.assets if asset.kind == DATABASE.name]
    databases = [meant(name, own) for name in databases]
    if which in NEWEST:
        return _of_word(sets, databases, which)
    found = catalogue.find(which, sets.asset(databases[0] if len(databases) == 1 else ""))
    held = sets.held(found.key)
    if unknown := [name for name in databases if name not in held]:
        raise ConfigurationError(f"{found.key} has no database {unknown[0]!r}; it has: {', '.join(held[:20])}.")
    spare = () if databases else sets.spare(found.key)
    wanted = databases or [name for name in held if name not in spare]
    return Choices(tuple(sets.in_part(name, found) for name in wanted), spare=spare)


def backup_runs(choices: Iterable[RestoreChoice]) -> int:
    """How many runs of a backup the sets are of: all sets of one are begun at the same moment."""
    return len({choice.key.created for choice in choices})


def _of_word(sets: _Sets, databases: Sequence[str], which: str) -> Choices:
    names, spare = (databases, ()) if databases else sets.all()
    if not names:
        raise ConfigurationError(
            f"{sets.catalogue.address} has no database of {sets.server} to restore; `list` shows what it has."
        )
    chosen, refused = [], []
    for name in names:
        try:
            chosen.append(sets.choice(name, which))
        except OperationFailed as error:
            refused.append((name, _with_a_way_out(error, sets, name)))
    if not chosen:
        raise refused[0][1]
    return Choices(tuple(chosen), tuple(refused), tuple(spare))


def _with_a_way_out(error: OperationFailed, sets: _Sets, database: str) -> OperationFailed:
    if sets.despite_errors or not sets.own(database, "newest"):
        return error
    return OperationFailed(f"{error} {ALL_THE_SAME} takes what comes back of the newest one.")


@dataclass(frozen=True)
class _Sets:
    """A server's sets. What a cluster set holds is in its manifest, which is read when it is asked for, and once."""

    catalogue: Catalogue
    repository: Repository
    server: str
    despite_errors: bool
    _known: dict[SetKey, tuple[str, ...]] = field(default_factory=dict)

    def asset(self, database: str = "") -> Asset:
        """One database, or the whole server."""
        return Asset(self.server, DATABASE.name if database else CLUSTER.name, database)

    def own(self, database: str, word: str) -> StoredSet | None:
        return self.catalogue.newest(self.asset(database), word)

    def all(self) -> tuple[Sequence[str], tuple[str, ...]]:
        """What the server had when its newest usable cluster set was made, and what was stored on its own since; and
        which of them hold nothing."""
        assets = ((asset, sets) for asset, sets in self.catalogue.assets.items() if asset.kind == DATABASE.name)
        own = {asset.name: sets for asset, sets in assets if asset.source == self.server}
        newest = self.catalogue.newest(self.asset(), "newest-usable")
        if newest is None and self.despite_errors:
            newest = self.catalogue.newest(self.asset())
        if newest is None:
            spare = tuple(name for name in OWN if name in own and name in self.spare(own[name][0].key))
            return [name for name in own if name not in spare], spare
        spare, held = self.spare(newest.key), self.held(newest.key)
        since = [name for name, sets in own.items() if sets[0].created > newest.created]
        names = dict.fromkeys((*(name for name in held if name not in spare), *since))
        return tuple(names), tuple(name for name in spare if name not in names)

    def choice(self, database: str, which: str) -> RestoreChoice:
        try:
            best = self._best(database, "newest-usable" if which == "newest" else which)
        except OperationFailed:
            newest = self.own(database, "newest")
            if newest is None or not self.despite_errors:
                raise
            return RestoreChoice(database, newest.key, newest.state)
        newest = self.own(database, "newest")
        failed = newest if newest and newest.state == "failed" and newest.created >= best.created else None
        if failed and failed.key == best.key:
            failed = None
        return self.in_part(database, best, failed and failed.key)

    def in_part(self, database: str, one: StoredSet, failed: SetKey | None = None) -> RestoreChoice:
        """This set; where only what comes back is wanted, the database's own set of that backup run."""
        if self.despite_errors and one.key.kind == CLUSTER.name:
            of_run = (own for own in self.catalogue.assets.get(self.asset(database), ()) if own.created == one.created)
            one = next(of_run, one)
        return RestoreChoice(database, one.key, one.state, None if failed == one.key else failed)

    def _best(self, database: str, word: str) -> StoredSet:
        own = self.own(database, word)
        cluster = self._cluster_with(database, word, own)
        found = [one for one in (own, cluster) if one]
        if not found:
            return self.catalogue.find(word, self.asset(database))
        return min(found, key=lambda one: (-one.created.timestamp(), _BEST.index(one.state)))

    def _cluster_with(self, database: str, word: str, own: StoredSet | None) -> StoredSet | None:
        """The newest that holds the database and that `word` accepts, none where its `own` set is as good."""
        for one in self.catalogue.assets.get(self.asset(), ()):
            if own and (one.created, -_BEST.index(one.state)) <= (own.created, -_BEST.index(own.state)):
                break
            if one.state in NEWEST[word] and self._holds(one.key, database, sure=own is None):
                return one
        return None

    def _holds(self, key: SetKey, database: str, *, sure: bool) -> bool:
        """Whether a cluster set holds it. Of one that cannot be read: no, unless somebody has to be `sure`."""
        try:
            return database in self.held(key)
        except OperationFailed:
            if sure:
                raise
            return False

    def held(self, key: SetKey) -> tuple[str, ...]:
        """The databases that a set's manifest names, in the order of its files."""
        if key not in self._known:
            body = read_manifest(self.repository, key)
            self._known[key] = tuple(file.of for file in body.of_roles("sql", "dump") if file.of)
        return self._known[key]

    def spare(self, key: SetKey) -> tuple[str, ...]:
        """Those of a set's databases that hold nothing but what every server has."""
        return facts_of(read_manifest(self.repository, key)).spare
