"""What a store holds, from its keys alone: sets with their state, incomplete sets, verdicts.

One listing, in key order, and nothing is read: cost and memory grow with the number of keys only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple, TypeVar

from engine.repository.keys import MANIFEST, SetKey, is_file_name, source_prefix
from engine.repository.parsing import mark_of_sets, parse_dated_folder
from engine.repository.repository import Repository
from engine.repository.stored import Catalogue, IncompleteSet, StoredSet
from engine.repository.verdict_keys import VerdictKey, verdict_folder, verdict_named
from engine.repository.verdicts import authentic, state_of
from engine.stores.base import StoredFolder, no_mark


def catalogue(
    repository: Repository,
    source: str | None = None,
    *,
    sizes: bool = False,
    files: bool = False,
    seen: Callable[[SetKey, Sequence[str]], None] | None = None,
) -> Catalogue:
    """All that is stored of a source (or of all of them), by one listing of keys.

    `files` asks how many files every set has, for which a folder is read for each set; else only its
    manifest is looked for. `sizes` asks for the sizes too, for which each file is looked at. `seen` is
    shown the key and the file names of sets, complete or not, where these are told with the keys. Where the
    repository has a digest key, only verdicts sealed with it count.

    Raises:
        PlatformOpsError: the store cannot be listed.
    """
    store = repository.store
    verdicts: list[VerdictKey] = []
    sets: list[StoredSet] = []
    incomplete: list[IncompleteSet] = []
    folders = store.folders(source_prefix(source) if source else "", no_mark if files else mark_of_sets)
    for key, created, names, size, whole in _found(folders, verdicts):
        if MANIFEST in names:
            sets.append(StoredSet(key, created, "recorded", size, len(names) if whole else None))
        elif names:
            incomplete.append(IncompleteSet(key, created, size, len(names)))
        if seen and whole:
            seen(key, names)
    count = authentic(repository, verdicts)
    sets = _judged(sets, count)
    if sizes:
        sets, incomplete = list(measured(repository, sets)), list(measured(repository, incomplete))
    return Catalogue(store.address, tuple(sets), tuple(incomplete), count, unsealed=len(verdicts) - len(count))


_Sized = TypeVar("_Sized", StoredSet, IncompleteSet)


def measured(repository: Repository, sets: Iterable[_Sized]) -> Iterator[_Sized]:
    """The same sets one by one, each with size and files; the store is asked for those that have no size.

    Raises:
        PlatformOpsError: the store cannot be listed.
    """
    for one in sets:
        if one.size is None:
            found = contents(repository, one.key)
            one = one._replace(size=sum(found.values()), files=len(found))
        yield one


def contents(repository: Repository, key: SetKey) -> dict[str, int]:
    """The names of a set's files as they are stored now, with their sizes in bytes.

    Raises:
        PlatformOpsError: the store cannot be listed.
    """
    start = len(key.prefix)
    found = ((stored.key[start:], stored.size) for stored in repository.store.list(key.prefix))
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
            if asset := verdict_folder(here):
                parsed = (verdict_named(asset, name) for name in names)
                verdicts.extend(verdict for verdict in parsed if verdict)
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
    of_set: defaultdict[SetKey, list[VerdictKey]] = defaultdict(list)
    for verdict in verdicts:
        of_set[verdict.set].append(verdict)
    if not of_set:
        return sets
    states = {key: state_of(own) for key, own in of_set.items()}
    return [StoredSet(key, created, states.get(key, "recorded"), size, files) for key, created, _, size, files in sets]
