"""What is in a volume, thing by thing: the proof of a set is one line for each, in the order of the archive.

tar goes through folders by the names' bytes (`--sort=name`), so two trees are compared as two sorted streams: memory
does not grow with them. Paths that are no UTF-8 are kept as Python keeps them (surrogateescape).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from engine.errors import DamagedSet

ROOT = "."
_ENCODER = json.JSONEncoder(separators=(",", ":"))


class Entry(NamedTuple):
    """One thing: `mtime` in nanoseconds, `link` a symbolic link's target or the path a hard link shares its file with.

    `xattrs` are as pax names them, values as text of Latin-1 (ACLs too). `sha256` is of the whole contents, holes as
    zeros. `database`: it begins as an SQLite database does.
    """

    path: str
    type: str
    mode: int
    uid: int
    gid: int
    size: int = 0
    mtime: int = 0
    link: str = ""
    xattrs: tuple[tuple[str, str], ...] = ()
    sha256: str = ""
    database: bool = False

    @property
    def order(self) -> list[bytes]:
        """What to sort by: as `tar --sort=name` goes."""
        return [] if self.path == ROOT else self.path.encode("utf8", "surrogateescape").split(b"/")

    @property
    def shown(self) -> str:
        """All of it but its path, for people."""
        message = (
            ("", self.type),
            ("mode ", f"{self.mode:04o}"),
            ("owner ", f"{self.uid}:{self.gid}"),
            ("size ", str(self.size) if self.type == "file" else ""),
            ("mtime ", str(self.mtime)),
            ("to ", self.link),
            ("sha256 ", self.sha256[:12]),
            ("xattrs ", " ".join(name for name, _ in self.xattrs)),
        )
        return ", ".join(f"{word}{value}" for word, value in message if value)


def line_of(entry: Entry) -> bytes:
    """One line of the proof."""
    return (_ENCODER.encode(entry) + "\n").encode()


def entries_of(lines: Iterable[bytes]) -> Iterator[Entry]:
    """The things of a proof.

    Raises:
        DamagedSet: it is none.
    """
    for line in lines:
        try:
            entry = Entry(*json.loads(line))
            yield entry._replace(xattrs=tuple((name, value) for name, value in entry.xattrs))
        except (ValueError, TypeError):
            raise DamagedSet("The proof of a volume is not one that this version reads; use another set.") from None


class TreeDifference(NamedTuple):
    """A thing that is not as it was; '' where it is not there at all."""

    path: str
    expected: str
    found: str


def differences(expected: Iterable[Entry], found: Iterable[Entry]) -> Iterator[TreeDifference]:
    """What differs between two trees, each in the order of its archive."""
    left, right = iter(expected), iter(found)
    one, other = next(left, None), next(right, None)
    while one or other:
        if other is None or (one is not None and one.order < other.order):
            assert one is not None  # noqa: S101 - one of the two is there
            yield TreeDifference(one.path, one.shown, "")
            one = next(left, None)
        elif one is None or other.order < one.order:
            yield TreeDifference(other.path, "", other.shown)
            other = next(right, None)
        else:
            if one != other:
                yield _differ(one, other)
            one, other = next(left, None), next(right, None)


def _differ(one: Entry, other: Entry) -> TreeDifference:
    """Where what people are told is the same, they are told that it is not all."""
    same = "; not told: the rest of it" if one.shown == other.shown else ""
    return TreeDifference(one.path, one.shown, other.shown + same)
