"""The keys of a repository: the one place that knows how sets, files and verdicts are named.

`<source>/<kind>[/<percent-encoded name>]/<set>/<file>`, where `<set>` is `yyyymmddThhmmssZ-<id>`, and
`<source>/verdicts/<kind>[/<name>]/<set>.<time>-<check>-<result>[-<tag>].json`.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote

from engine.config.names import NAME
from engine.errors import ConfigurationError

MANIFEST = "manifest.json"
VERDICTS, LEASES = "verdicts", "leases"
"""Folders of a source beside those of its kinds."""
TIME = "%Y%m%dT%H%M%SZ"
# ASCII digits and no hour 24: each moment has one spelling, or two keys would mean one set.
STAMP = r"([1-9][0-9]{7}T(?:[01][0-9]|2[0-3])[0-9]{4}Z)"
SET_ID = re.compile(STAMP + r"-([a-z0-9]{4,32})")
_FILE = re.compile(r"[A-Za-z0-9%_~+@=,-][A-Za-z0-9%._~+@=,-]*")
_KIND = re.compile(r"[a-z][a-z0-9]{0,30}")


def encoded(name: str) -> str:
    """A name as one path segment: percent-encoded, never starting with a dot, never looking like a set's id.

    Raises:
        ConfigurationError: an empty name, or one that is not Unicode text.
    """
    try:
        segment = quote(name, safe="")
    except UnicodeEncodeError:
        segment = ""
    if not segment:
        raise ConfigurationError(
            f"{name!r} cannot name a backup: a name is Unicode text of at least one letter; rename it or exclude it."
        )
    return f"%{ord(segment[0]):02X}{segment[1:]}" if segment[0] == "." or SET_ID.fullmatch(segment) else segment


class SetKey(NamedTuple):
    """One set's place in a repository. `name` is '' where a source has one such thing only.

    A tuple, as is all that a listing makes 100,000 times: a frozen dataclass takes four times as long.
    """

    source: str
    kind: str
    name: str
    set_id: str

    @property
    def prefix(self) -> str:
        """The key everything of the set starts with; it ends in `/`.

        Raises:
            ConfigurationError: the source's name, the kind's, its own, or the id, is not one.
        """
        set_time(self.set_id)
        return f"{asset_prefix(self.source, self.kind, self.name)}{self.set_id}/"

    @property
    def manifest(self) -> str:
        return self.prefix + MANIFEST

    @property
    def asset(self) -> Asset:
        """What it is a set of."""
        return Asset(self.source, self.kind, self.name)

    @property
    def created(self) -> datetime:
        """When the set was begun (UTC, whole seconds)."""
        return set_time(self.set_id)

    def __str__(self) -> str:
        return self.prefix.rstrip("/")


class Asset(NamedTuple):
    """A thing that is kept, of which there are sets: a source's cluster, one of its databases, a volume."""

    source: str
    kind: str
    name: str

    @property
    def label(self) -> str:
        """What of its source it is, for people: `cluster`, `db kohub`."""
        return f"{self.kind} {self.name}" if self.name else self.kind

    @property
    def quoted(self) -> str:
        """The same in a sentence: `db 'kohub'`."""
        return f"{self.kind} {self.name!r}" if self.name else self.kind

    def set(self, set_id: str) -> SetKey:
        return SetKey(*self, set_id)


def source_prefix(source: str) -> str:
    """The key everything of a source starts with; it ends in `/`.

    Raises:
        ConfigurationError: this cannot be a source's name.
    """
    if not is_source(source):
        raise ConfigurationError(
            f"{source[:80]!r} is not a name of a source: lower-case letters, digits and inner hyphens only; "
            "the configuration file has the names."
        )
    return f"{source}/"


def asset_prefix(source: str, kind: str, name: str) -> str:
    """The key all sets of one asset start with; it ends in `/`."""
    own = source_prefix(source)
    if not is_kind(kind):
        raise ConfigurationError(f"{kind[:80]!r} is not a kind of sets; `list` shows those that are stored.")
    return f"{own}{kind}/{encoded(name)}/" if name else f"{own}{kind}/"


def new_set_id(at: datetime, *seed: str) -> str:
    """A set's id: deterministic in `at` and `seed`, so that a retry writes to the same place."""
    token = hashlib.sha256("\0".join(seed).encode()).hexdigest()[:10]
    return f"{at.astimezone(UTC).strftime(TIME)}-{token}"


def set_time(set_id: str) -> datetime:
    """When the set was begun (UTC).

    Raises:
        ConfigurationError: this is not a set's id.
    """
    match = SET_ID.fullmatch(set_id)
    at = moment(match[1]) if match else None
    if at is None:
        raise ConfigurationError(f"{set_id[:80]!r} is not a set id such as 20260207T170000Z-3f9a1c; see `list`.")
    return at


@lru_cache(maxsize=256)
def is_kind(text: str) -> bool:
    """Whether this can be the name of a kind of things that are kept."""
    return bool(_KIND.fullmatch(text)) and text not in (VERDICTS, LEASES)


@lru_cache(maxsize=4096)  # the same few in each set
def is_file_name(name: str) -> bool:
    """Whether this can be the name of a file in a set: one plain path segment."""
    return bool(_FILE.fullmatch(name)) and len(name) <= 255


@lru_cache(maxsize=256)
def is_source(text: str) -> bool:
    """Whether this can be the name of a source."""
    return bool(NAME.fullmatch(text))


@lru_cache(maxsize=8192)  # a run's sets, and its verdicts, share theirs
def moment(stamp: str) -> datetime | None:
    """The time that a stamp in a key tells; None where there is no such moment."""
    try:  # fromisoformat is twenty times faster than strptime: a store may hold 100,000 of these
        return datetime.fromisoformat(stamp)
    except ValueError:
        return None
