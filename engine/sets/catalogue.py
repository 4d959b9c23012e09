"""What a store holds, from its keys alone: sets with their state, incomplete sets, verdicts.

One listing, in key order, and nothing is read: cost and memory grow with the number of keys only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

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
    when sizes were not asked for."""

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


@dataclass(slots=True)
class Folder:
    """The files of one set as they are stored: names and total size in bytes (None: not asked for)."""

    key: SetKey
    names: list[str]
    size: int | None


def catalogue(
    store: Store,
    server: str | None = None,
    *,
    sizes: bool = False,
    seen: Callable[[Folder], None] | None = None,
    digest_key: str | None = None,
) -> Catalogue:
    """All that is stored of a server (or of all of them), by one listing of keys.

    `sizes` asks for the sets' sizes too: free in S3, more than twice the time in a folder. `seen` is
    shown each set's folder on the way, complete or not. With a `digest_key` only verdicts sealed with it count.

    Raises:
        PlatformOpsError: the store cannot be listed.
    """
    verdicts: list[VerdictKey] = []
    sets: list[StoredSet] = []
    incomplete: list[IncompleteSet] = []
    prefix = "" if server is None else server_prefix(server)
    for folder in _folders(_names_and_sizes(store, prefix) if sizes else _names(store, prefix), verdicts):
        key, size, files = folder.key, folder.size, len(folder.names)
        if MANIFEST in folder.names:
            sets.append(StoredSet(key, key.created, "recorded", size, files))
        elif files:
            incomplete.append(IncompleteSet(key, key.created, size, files))
        if seen:
            seen(folder)
    count = authentic(verdicts, digest_key)
    return Catalogue(
        store.address, tuple(_judged(sets, count)), tuple(incomplete), count, len(verdicts) - len(count)
    )


def _names(store: Store, prefix: str) -> Iterator[tuple[str, int | None]]:
    return ((key, None) for key in store.keys(prefix))


def _names_and_sizes(store: Store, prefix: str) -> Iterator[tuple[str, int | None]]:
    return ((stored.key, stored.size) for stored in store.list(prefix))


def _folders(listing: Iterable[tuple[str, int | None]], verdicts: list[VerdictKey]) -> Iterator[Folder]:
    """The sets in a listing, complete or not, one by one; verdicts met on the way go into `verdicts`.

    Keys that are none of ours are passed over: they are not deleted and do not hide anything.
    """
    current: Folder | None = None
    path = ""
    for stored, size in listing:
        parent, _, name = stored.rpartition("/")
        if current is None or parent != path:
            key = parse_set_folder(parent)
            if key is None:
                verdict = parse_verdict_key(stored)
                if verdict:
                    verdicts.append(verdict)
                continue
            if current:
                yield current
            current, path = Folder(key, [], None if size is None else 0), parent
        if is_file_name(name):
            current.names.append(name)
            current.size = None if size is None else size + (current.size or 0)
    if current:
        yield current


def _judged(sets: list[StoredSet], verdicts: Iterable[VerdictKey]) -> Iterator[StoredSet]:
    """The sets with their states."""
    of_set: dict[tuple[str, str], list[VerdictKey]] = {}
    for verdict in verdicts:
        of_set.setdefault((verdict.server, verdict.set_id), []).append(verdict)
    shared = _shared_ids(sets) if of_set else set()
    for one in sets:
        own = of_set.get((one.key.server, one.key.set_id)) if of_set else None
        state = state_of(own) if own else one.state
        # A verdict names its set by the id alone: where two share one, a pass may be the other's.
        if state != one.state and (state == "failed" or (one.key.server, one.key.set_id) not in shared):
            yield StoredSet(one.key, one.created, state, one.size, one.files)
        else:
            yield one


def _shared_ids(sets: Iterable[StoredSet]) -> set[tuple[str, str]]:
    seen: set[tuple[str, str]] = set()
    shared: set[tuple[str, str]] = set()
    for one in sets:
        place = (one.key.server, one.key.set_id)
        (shared if place in seen else seen).add(place)
    return shared


def _age(one: StoredSet) -> tuple[datetime, str]:
    return one.created, one.key.set_id


def _is_meant(one: StoredSet, text: str) -> bool:
    return (bool(text) and one.key.set_id.startswith(text)) or str(one.key) == text.strip("/")
