"""What there is of a source, what is stored of it, and the run that stores it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self

from engine.errors import PlatformOpsError
from engine.repository.body import Body, FileEntry
from engine.repository.keys import SetKey, new_set_id
from engine.repository.writing import SetWriter
from engine.sources.kind import Facts

_GONE = "it was dropped while the backup ran"


@dataclass(frozen=True)
class Item:
    """One thing to be backed up: `size` in bytes (0: not known); `skipped` says why it is not ('' when it is).

    `closes`: it is made last, of what all the others stored, and only when none of them failed.
    """

    kind: str
    name: str = ""
    size: int = 0
    skipped: str = ""
    closes: bool = False

    @property
    def label(self) -> str:
        return f"{self.kind} {self.name}" if self.name else self.kind

    @property
    def gone(self) -> bool:
        """Whether it was dropped while the backup ran."""
        return self.skipped == _GONE

    def as_gone(self) -> Self:
        return replace(self, skipped=_GONE)


@dataclass(frozen=True)
class Forecast:
    """What can be told before anything is read: what no set will hold, in words, and what would fail."""

    lacks: tuple[str, ...] = ()
    failures: tuple[tuple[Item, PlatformOpsError], ...] = ()


@dataclass(frozen=True)
class StoredItem:
    """What was stored of an item. `shared` are its files in the set that closes the run; times in seconds."""

    item: Item
    key: SetKey
    body: Body
    facts: Facts
    started: datetime
    seconds: float
    shared: tuple[FileEntry, ...] = ()


@dataclass(frozen=True)
class Unchanged:
    """All of an item is as in the set `since`, so nothing of it is stored. `seen` is plain data that the next look may
    go by (`engine.repository.unchanged`)."""

    since: SetKey
    seen: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """One run of a backup, as a source sees it.

    `token` and `started` make the ids of its sets: a retry writes to the same place. `items` are all there are,
    `stored` what has been stored until now. `shared` takes what an item adds to the set that closes the run; None:
    there will be none.
    """

    source: str
    started: datetime
    token: str
    items: Sequence[Item] = ()
    stored: Sequence[StoredItem] = ()
    shared: SetWriter | None = None

    def key(self, kind: str, name: str = "") -> SetKey:
        """Where this run's set of a thing is stored."""
        return SetKey(self.source, kind, name, new_set_id(self.started, self.token, kind, name))
