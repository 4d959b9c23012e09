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
    parse_set_folder,
    parse_verdict_key,
    server_prefix,
)
from engine.sets.verdicts import GOOD, State, authentic, state_of
from engine.stores.base import Store

NEWEST: dict[str, tuple[State, ...]] = {
    "newest": ("recorded", "verified", "proven", "failed"),
    "newest-usable": ("recorded", "verified", "proven"),
    "newest-good": GOOD,
    "newest-proven": ("proven",),
}
"""Words an operator may give instead of a set, and the states each accepts."""


@dataclass(frozen=True, slots=True)
class StoredSet:
    """A set that exists (it has a manifest). `files` counts what is stored of it, `size` its bytes; None
    where nobody asked for it and the store would have to look at each file (see `measured`)."""

    key: SetKey
    created: datetime
    state: State
    size: int | None
    files: int


@dataclass(frozen=True, slots=True)
class IncompleteSet:
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
        return {scope: tuple(sorted(sets, key=_age, reverse=True)) for scope, sets in found.items()}

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
    seen: Callable[[SetKey, Sequence[str]], None] | None = None,
    digest_key: str | None = None,
) -> Catalogue:
    """All that is stored of a server (or of all of them), by one listing of keys.

    `sizes` asks for the size of every set, for which a folder looks at each file: twice the time.
    `seen` is shown each set's key and file names on the way, complete or not. With a `digest_key` only
    verdicts sealed with it count.

    Raises:
        PlatformOpsError: the store cannot be listed.
    """
    verdicts: list[VerdictKey] = []
    sets: list[tuple[SetKey, datetime, int | None, int]] = []
    incomplete: list[IncompleteSet] = []
    for key, created, names, size in _found(store, server_prefix(server) if server else "", verdicts):
        if MANIFEST in names:
            sets.append((key, created, size, len(names)))
        elif names:
            incomplete.append(IncompleteSet(key, created, size, len(names)))
        if seen:
            seen(key, names)
    count = authentic(verdicts, digest_key)
    stored = list(_judged(sets, count))
    if sizes:
        stored, incomplete = list(measured(store, stored)), list(measured(store, incomplete))
    return Catalogue(
        store.address, tuple(stored), tuple(incomplete), count, unsealed=len(verdicts) - len(count)
    )


def measured(store: Store, sets: Iterable[_Sized]) -> Iterator[_Sized]:
    """The same sets one by one, each with its size; the store is asked for those that have none.

    Raises:
        PlatformOpsError: the store cannot be listed.
    """
    for one in sets:
        yield one if one.size is not None else replace(one, size=_size(store, one.key))


def _size(store: Store, key: SetKey) -> int:
    start = len(key.prefix)
    return sum(stored.size for stored in store.list(key.prefix) if is_file_name(stored.key[start:]))


class _Found(NamedTuple):
    """The files of one set as they are stored."""

    key: SetKey
    created: datetime
    names: list[str]
    size: int | None


def _found(store: Store, prefix: str, verdicts: list[VerdictKey]) -> Iterator[_Found]:
    """The sets that are stored, complete or not, one by one; verdicts met on the way go into `verdicts`.

    Keys that are none of ours are passed over: they are not deleted and do not hide anything.
    """
    current: _Found | None = None
    path = ""
    for folder in store.folders(prefix):
        key = parse_set_folder(folder.path)
        if key is None:
            for name in folder.names:
                if verdict := parse_verdict_key(f"{folder.path}/{name}"):
                    verdicts.append(verdict)
            continue
        names = [name for name in folder.names if is_file_name(name)]
        if current and folder.path == path:  # another's folder inside the set stood between
            current.names.extend(names)
            more = None if None in (current.size, folder.size) else (current.size or 0) + (folder.size or 0)
            current = current._replace(size=more)
            continue
        if current:
            yield current
        current, path = _Found(key, key.created, names, folder.size), folder.path
    if current:
        yield current


def _judged(
    sets: Sequence[tuple[SetKey, datetime, int | None, int]], verdicts: Iterable[VerdictKey]
) -> Iterator[StoredSet]:
    """The sets with their states."""
    of_set: defaultdict[tuple[str, str], list[VerdictKey]] = defaultdict(list)
    for verdict in verdicts:
        of_set[verdict.server, verdict.set_id].append(verdict)
    states = {place: state_of(own) for place, own in of_set.items()}
    times = Counter((one[0].server, one[0].set_id) for one in sets) if states else {}
    for key, created, size, files in sets:
        place = (key.server, key.set_id)
        state = states.get(place, "recorded")
        # A verdict names its set by the id alone: where two share one, a pass may be the other's.
        if state != "recorded" and state != "failed" and times[place] > 1:
            state = "recorded"
        yield StoredSet(key, created, state, size, files)


def _age(one: StoredSet) -> tuple[datetime, str]:
    return one.created, one.key.set_id


def _is_meant(one: StoredSet, text: str) -> bool:
    return (bool(text) and one.key.set_id.startswith(text)) or str(one.key) == text.strip("/")
