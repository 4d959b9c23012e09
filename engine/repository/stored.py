"""What a listing of a repository finds: sets with their states, what never became a set, verdicts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import NamedTuple

from engine.errors import ConfigurationError, OperationFailed
from engine.repository.keys import Asset, SetKey
from engine.repository.parsing import parse_set_meant
from engine.repository.verdict_keys import VerdictKey
from engine.repository.verdicts import GOOD, State
from engine.words.wording import meant

NEWEST: dict[str, tuple[State, ...]] = {
    "newest": ("recorded", "verified", "proven", "failed"),
    "newest-usable": ("recorded", "verified", "proven"),
    "newest-good": GOOD,
    "newest-proven": ("proven",),
}
"""Words an operator may give instead of a set, and the states each accepts."""
AHEAD = timedelta(minutes=10)
"""Two hosts' clocks may differ by so much: what is dated later was dated by one that was wrong."""


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


@dataclass(frozen=True)
class Catalogue:
    """Everything of one source or of all, in the order of its keys.

    `unsealed` is how many verdicts more there are, which do not count: see `verdicts.authentic`.
    """

    address: str
    sets: tuple[StoredSet, ...]
    incomplete: tuple[IncompleteSet, ...]
    verdicts: tuple[VerdictKey, ...]
    unsealed: int = 0

    @cached_property
    def assets(self) -> dict[Asset, tuple[StoredSet, ...]]:
        """Sets by what they are of, newest first."""
        found: dict[tuple[str, str, str], list[StoredSet]] = {}
        for one in self.sets:
            found.setdefault(one.key[:3], []).append(one)
        return {Asset(*asset): tuple(sorted(sets, key=by_age, reverse=True)) for asset, sets in found.items()}

    def of(self, source: str) -> Catalogue:
        """What is of this source alone."""
        sets = tuple(one for one in self.sets if one.key.source == source)
        incomplete = tuple(one for one in self.incomplete if one.key.source == source)
        verdicts = tuple(one for one in self.verdicts if one.set.source == source)
        return replace(self, sets=sets, incomplete=incomplete, verdicts=verdicts)

    def verdicts_of(self, key: SetKey) -> tuple[VerdictKey, ...]:
        """What was found of one set."""
        return tuple(one for one in self.verdicts if one.set == key)

    def newest(self, asset: Asset, word: str = "newest", now: datetime | None = None) -> StoredSet | None:
        """The newest set of an asset that `word` (of `NEWEST`) accepts; None when there is none. With `now`, none that a
        clock that was wrong dated in the future."""
        sets = (one for one in self.assets.get(asset, ()) if now is None or one.created - now < AHEAD)
        return next((one for one in sets if one.state in NEWEST[word]), None)

    def find(self, text: str, asset: Asset) -> StoredSet:
        """The set an operator means: a word of `NEWEST` (of this asset), an id, its unique start, or a key.

        An id is looked for among the asset's sets first, then among all.

        Raises:
            ConfigurationError: no such set, or more than one.
            OperationFailed: the asset has no set that the word accepts.
        """
        if text in NEWEST:
            return self._of_word(text, asset)
        key = parse_set_meant(text)
        for sets in (self.assets.get(asset, ()), self.sets):
            matching = [one for one in sets if _is_meant(one, text, key)]
            exact = [one for one in matching if one.key.set_id == text or one.key == key]
            if len(exact or matching) == 1:
                return (exact or matching)[0]
            if matching:
                raise ConfigurationError(
                    f"{text!r} fits {len(matching)} sets in {self.address}, among them {matching[0].key} and "
                    f"{matching[1].key}; give more of the id, or the whole key."
                )
        raise ConfigurationError(self._unknown(text))

    def called(self, asset: Asset) -> Asset:
        """The asset that is meant: there may be one whose name only looks the same."""
        names = [one.name for one in self.assets if one[:2] == asset[:2]]
        return asset._replace(name=meant(asset.name, names))

    def _of_word(self, word: str, asset: Asset) -> StoredSet:
        found = self.newest(asset, word)
        if found is None and asset.name and asset not in self.assets:
            raise ConfigurationError(
                f"There is no set of {asset.quoted} of {asset.source} in {self.address}; `list` shows what is stored."
            )
        if found is None:
            state = word.removeprefix("newest").strip("-")
            raise OperationFailed(
                f"There is no {state + ' ' if state else ''}set of {'' if asset.name else 'the '}{asset.quoted} of "
                f"{asset.source} in {self.address}; "
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


def by_age(one: StoredSet) -> str:
    """What to sort sets by, the oldest first: their ids, which begin with the time and are cheap to compare."""
    return one.key.set_id


def _is_meant(one: StoredSet, text: str, key: SetKey | None) -> bool:
    return bool(text) and (one.key.set_id.startswith(text) or one.key == key)
