"""What a store holds, from its keys alone: sets with their state, incomplete sets, verdicts.

One listing, in key order, and nothing is read: cost and memory grow with the number of keys only.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import NamedTuple, TypeVar

from engine.errors import ConfigurationError, OperationFailed
from engine.sets.keys import (
    MANIFEST,
    SetKey,
    VerdictKey,
    is_file_name,
    mark_of_sets,
    parse_dated_folder,
    parse_verdict_key,
    server_prefix,
)
from engine.sets.verdicts import GOOD, State, authentic, state_of
from engine.stores.base import Store, StoredFolder, no_mark

NEWEST: dict[str, tuple[State, ...]] = {
    "newest": ("recorded", "verified", "proven", "failed"),
    "newest-usable": ("recorded", "verified", "proven"),
    "newest-good": GOOD,
    "newest-proven": ("proven",),
}
"""Words an operator may give instead of a set, and the states each accepts."""


class StoredSet(NamedTuple):
    """A set that exists (it has a manifest). `files` counts what is stored of it, `size` its bytes; None
    where nobody asked and the store would have to look into the set's folder (see `measured`)."""

    key: SetKey
    created: datetime
    state: State
    size: int | None
    files: int | None


class IncompleteSet(NamedTuple):
    """Files without a manifest: a backup that runs, or the remains of a killed one."""

    key: SetKey
    created: datetime
    size: int | None
    files: int


_Sized = TypeVar("_Sized", StoredSet, IncompleteSet)


@dataclass(frozen=True)
class Catalogue:
    """Everything of one server or of all, in the order of its keys.

    `unsealed` is how many verdicts more there are, which do not count: see `verdicts.authentic`.
    """

    address: str
    sets: tuple[StoredSet, ...]
    incomplete: tuple[IncompleteSet, ...]
    verdicts: tuple[VerdictKey, ...]
    unsealed: int = 0

    @cached_property
    def scopes(self) -> dict[tuple[str, str | None], tuple[StoredSet, ...]]:
        """Sets by server and database (None: the cluster), newest first."""
        found: dict[tuple[str, str | None], list[StoredSet]] = {}
        for one in self.sets:
            found.setdefault((one.key.server, one.key.database), []).append(one)
        return {scope: tuple(sorted(sets, key=by_age, reverse=True)) for scope, sets in found.items()}

    def of(self, server: str) -> Catalogue:
        """What is of this server alone."""
        sets = tuple(one for one in self.sets if one.key.server == server)
        incomplete = tuple(one for one in self.incomplete if one.key.server == server)
        verdicts = tuple(one for one in self.verdicts if one.server == server)
        return replace(self, sets=sets, incomplete=incomplete, verdicts=verdicts)

    def newest(self, server: str, database: str | None, word: str = "newest") -> StoredSet | None:
        """The newest set of a scope that `word` (of `NEWEST`) accepts; None when there is none."""
        scope = self.scopes.get((server, database), ())
        return next((one for one in scope if one.state in NEWEST[word]), None)

    def find(self, text: str, server: str, database: str | None = None) -> StoredSet:
        """The set an operator means: a word of `NEWEST` (of this scope), an id, its unique start, or a key.

        An id is looked for in the scope first, then among all sets.

        Raises:
            ConfigurationError: no such set, or more than one.
            OperationFailed: the scope has no set that the word accepts.
        """
        if text in NEWEST:
            return self._of_word(text, server, database)
        scope = self.scopes.get((server, database), ())
        for sets in (scope, self.sets):
            matching = [one for one in sets if _is_meant(one, text)]
            exact = [one for one in matching if one.key.set_id == text or str(one.key) == text.strip("/")]
            if len(exact or matching) == 1:
                return (exact or matching)[0]
            if matching:
                raise ConfigurationError(
                    f"{text!r} fits {len(matching)} sets in {self.address}, among them {matching[0].key} and "
                    f"{matching[1].key}; give more of the id, or the whole key."
                )
        raise ConfigurationError(self._unknown(text))

    def _of_word(self, word: str, server: str, database: str | None) -> StoredSet:
        found = self.newest(server, database, word)
        if found is None:
            what = "the cluster" if database is None else f"database {database!r}"
            kind = word.removeprefix("newest").strip("-")
            raise OperationFailed(
                f"There is no {kind + ' ' if kind else ''}set of {what} of {server} in {self.address}; "
                "`list` shows what is stored."
            )
        return found

    def _unknown(self, text: str) -> str:
        if any(str(one.key) == text.strip("/") or one.key.set_id == text for one in self.incomplete):
            return (
                f"{text!r} in {self.address} has no manifest: it is being written, or was never finished; "
                "choose another set, `list` shows them."
            )
        return f"There is no set {text[:120]!r} in {self.address}; `list` shows those that are stored."


def catalogue(
    store: Store,
    server: str | None = None,
    *,
    sizes: bool = False,
    files: bool = False,
    seen: Callable[[SetKey, Sequence[str]], None] | None = None,
    digest_key: str | None = None,
) -> Catalogue:
    """All that is stored of a server (or of all of them), by one listing of keys.

    `files` asks how many files every set has, for which a folder is read for each set; else only its
    manifest is looked for. `sizes` asks for the sizes too, for which each file is looked at. `seen` is
    shown the key and the file names of sets, complete or not, where these are told with the keys. With a
    `digest_key` only verdicts sealed with it count.

    Raises:
        PlatformOpsError: the store cannot be listed.
    """
    verdicts: list[VerdictKey] = []
    sets: list[StoredSet] = []
    incomplete: list[IncompleteSet] = []
    folders = store.folders(server_prefix(server) if server else "", no_mark if files else mark_of_sets)
    for key, created, names, size, whole in _found(folders, verdicts):
        if MANIFEST in names:
            sets.append(StoredSet(key, created, "recorded", size, len(names) if whole else None))
        elif names:
            incomplete.append(IncompleteSet(key, created, size, len(names)))
        if seen and whole:
            seen(key, names)
    count = authentic(verdicts, digest_key)
    sets = _judged(sets, count)
    if sizes:
        sets, incomplete = list(measured(store, sets)), list(measured(store, incomplete))
    return Catalogue(
        store.address, tuple(sets), tuple(incomplete), count, unsealed=len(verdicts) - len(count)
    )


def measured(store: Store, sets: Iterable[_Sized]) -> Iterator[_Sized]:
    """The same sets one by one, each with size and files; the store is asked for those that have no size.

    Raises:
        PlatformOpsError: the store cannot be listed.
    """
    for one in sets:
        if one.size is None:
            found = contents(store, one.key)
            one = one._replace(size=sum(found.values()), files=len(found))
        yield one


def contents(store: Store, key: SetKey) -> dict[str, int]:
    """The names of a set's files as they are stored now, with their sizes in bytes.

    Raises:
        PlatformOpsError: the store cannot be listed.
    """
    start = len(key.prefix)
    found = ((stored.key[start:], stored.size) for stored in store.list(key.prefix))
    return {name: size for name, size in found if is_file_name(name)}


class _Found(NamedTuple):
    """The files of one set as they are stored; not `whole`: it has a manifest, the rest was not asked for."""

    key: SetKey
    created: datetime
    names: list[str]
    size: int | None
    whole: bool


def _found(folders: Iterable[StoredFolder], verdicts: list[VerdictKey]) -> Iterator[_Found]:
    """The sets that are stored, complete or not, one by one; verdicts met on the way go into `verdicts`.

    Keys that are none of ours are passed over: they are not deleted and do not hide anything.
    """
    current: _Found | None = None
    path = ""
    for here, names, size, whole in folders:
        dated = parse_dated_folder(here)
        if dated is None:
            found = (parse_verdict_key(f"{here}/{name}") for name in names)
            verdicts.extend(verdict for verdict in found if verdict)
            continue
        own = [name for name in names if is_file_name(name)]
        if current and here == path:  # another's folder inside the set stood between
            current.names.extend(own)
            more = None if None in (current.size, size) else (current.size or 0) + (size or 0)
            current = current._replace(size=more)
            continue
        if current:
            yield current
        current, path = _Found(*dated, own, size, whole), here
    if current:
        yield current


def _judged(sets: list[StoredSet], verdicts: Iterable[VerdictKey]) -> list[StoredSet]:
    """The same sets with their states."""
    of_set: defaultdict[tuple[str, str], list[VerdictKey]] = defaultdict(list)
    for verdict in verdicts:
        of_set[verdict.server, verdict.set_id].append(verdict)
    if not of_set:
        return sets
    states = {place: state_of(own) for place, own in of_set.items()}
    times = Counter((one.key.server, one.key.set_id) for one in sets)
    judged: list[StoredSet] = []
    for key, created, _, size, files in sets:
        place = (key.server, key.set_id)
        state = states.get(place, "recorded")
        # A verdict names its set by the id alone: where two share one, a pass may be the other's.
        if state != "failed" and times[place] > 1:
            state = "recorded"
        judged.append(StoredSet(key, created, state, size, files))
    return judged


def by_age(one: StoredSet) -> str:
    """What to sort sets by, the oldest first: their ids, which begin with the time and are cheap to compare."""
    return one.key.set_id


def _is_meant(one: StoredSet, text: str) -> bool:
    return (bool(text) and one.key.set_id.startswith(text)) or str(one.key) == text.strip("/")
