"""The keys of a store: the one place that knows how sets, files and verdicts are named.

`<server>/cluster/<set>/<file>`, `<server>/db/<percent-encoded database>/<set>/<file>` and
`<server>/verdicts/<set>/<time>-<kind>-<result>[-<tag>].json`, where `<set>` is `yyyymmddThhmmssZ-<id>`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal, NamedTuple
from urllib.parse import quote, unquote

from engine.config.settings import NAME
from engine.errors import ConfigurationError

Scope = Literal["cluster", "database"]
VerdictKind = Literal["verify", "drill"]
VerdictResult = Literal["passed", "failed", "unverified", "sampled", "incomplete"]

MANIFEST = "manifest.json"
_TIME = "%Y%m%dT%H%M%SZ"
# ASCII digits and no hour 24: each moment has one spelling, or two keys would mean one set.
_STAMP = r"([1-9][0-9]{7}T(?:[01][0-9]|2[0-3])[0-9]{4}Z)"
_SET = re.compile(_STAMP + r"-([a-z0-9]{4,32})")
_FILE = re.compile(r"[A-Za-z0-9%_~+@=,-][A-Za-z0-9%._~+@=,-]*")
_VERDICT = re.compile(
    rf"([^/]*)/verdicts/({_STAMP}-[a-z0-9]{{4,32}})/{_STAMP}"
    r"-(verify|drill)-(passed|failed|unverified|(?<=-drill-)(?:sampled|incomplete))(?:-([0-9a-f]{16}))?\.json"
)


def encoded(database: str) -> str:
    """A database's name as one path segment: percent-encoded, never starting with a dot.

    Raises:
        ConfigurationError: an empty name, or one that is not Unicode text.
    """
    try:
        segment = quote(database, safe="")
    except UnicodeEncodeError:
        segment = ""
    if not segment:
        raise ConfigurationError(
            f"{database!r} cannot name a backup: a database's name is Unicode text of at least one letter; "
            "rename the database or exclude it."
        )
    return "%2E" + segment[1:] if segment.startswith(".") else segment


class SetKey(NamedTuple):
    """One set's place in a store. `database` is None for a cluster set.

    A tuple, as is all that a listing makes 100,000 times: a frozen dataclass takes four times as long.
    """

    server: str
    database: str | None
    set_id: str

    @property
    def scope(self) -> Scope:
        return "cluster" if self.database is None else "database"

    @property
    def prefix(self) -> str:
        """The key everything of the set starts with; it ends in `/`.

        Raises:
            ConfigurationError: the server's or the database's name, or the id, is not one.
        """
        set_time(self.set_id)
        return f"{scope_prefix(self.server, self.database)}{self.set_id}/"

    @property
    def manifest(self) -> str:
        return self.prefix + MANIFEST

    @property
    def created(self) -> datetime:
        """When the set was begun (UTC, whole seconds)."""
        return set_time(self.set_id)

    def __str__(self) -> str:
        return self.prefix.rstrip("/")


class VerdictKey(NamedTuple):
    """An immutable file that says what a verification or a drill found.

    `tag` is made of all the rest with the store's digest key ('' where there is none): see `sealed`.
    """

    server: str
    set_id: str
    at: datetime
    kind: VerdictKind
    result: VerdictResult
    tag: str = ""

    def __str__(self) -> str:
        return f"{self._said}-{self.tag}.json" if self.tag else f"{self._said}.json"

    @property
    def _said(self) -> str:
        at = self.at.astimezone(UTC).strftime(_TIME)
        return f"{server_prefix(self.server)}verdicts/{self.set_id}/{at}-{self.kind}-{self.result}"

    def sealed(self, digest_key: str | None) -> VerdictKey:
        """The same verdict with the tag that only who has the key can make; without one when there is no key."""
        if digest_key is None:
            return self._replace(tag="")
        tag = hmac.digest(digest_key.encode(), f"verdict {self._said}".encode(), "sha256").hex()
        return self._replace(tag=tag[:16])


def server_prefix(server: str) -> str:
    """The key everything of a server starts with; it ends in `/`.

    Raises:
        ConfigurationError: this cannot be a server's name.
    """
    if not _is_server(server):
        raise ConfigurationError(
            f"{server[:80]!r} is not a server's name: lower-case letters, digits and inner hyphens only; "
            "the configuration file names the servers."
        )
    return f"{server}/"


def scope_prefix(server: str, database: str | None) -> str:
    """The key all sets of a cluster or of one database start with; it ends in `/`."""
    own = server_prefix(server)
    return f"{own}cluster/" if database is None else f"{own}db/{encoded(database)}/"


def new_set_id(at: datetime, *seed: str) -> str:
    """A set's id: deterministic in `at` and `seed`, so that a retry writes to the same place."""
    token = hashlib.sha256("\0".join(seed).encode()).hexdigest()[:10]
    return f"{at.astimezone(UTC).strftime(_TIME)}-{token}"


def set_time(set_id: str) -> datetime:
    """When the set was begun (UTC).

    Raises:
        ConfigurationError: this is not a set's id.
    """
    match = _SET.fullmatch(set_id)
    at = _moment(match[1]) if match else None
    if at is None:
        raise ConfigurationError(
            f"{set_id[:80]!r} is not a set id such as 20260207T170000Z-3f9a1c; see `list`."
        )
    return at


def parse_set_key(key: str) -> tuple[SetKey, str] | None:
    """The set a stored key belongs to and the file's name in it; None when it is none of ours."""
    folder, _, file = key.rpartition("/")
    found = parse_set_folder(folder)
    return (found, file) if found and is_file_name(file) else None


def parse_set_folder(folder: str) -> SetKey | None:
    """The set whose files are in `folder` (no final `/`); None when it is none of ours."""
    found = parse_dated_folder(folder)
    return found[0] if found else None


def parse_dated_folder(folder: str) -> tuple[SetKey, datetime] | None:
    """The same, with when the set was begun (UTC)."""
    scope_path, _, set_id = folder.rpartition("/")
    scope = _parse_scope(scope_path)
    match = _SET.fullmatch(set_id) if scope else None
    at = _moment(match[1]) if match else None
    return (SetKey(scope[0], scope[1], set_id), at) if scope and at else None


def mark_of_sets(folder: str) -> str | None:
    """Where `folder` holds sets of ours, the file that makes them sets; see `stores.base.Mark`."""
    return MANIFEST if _parse_scope(folder) else None


def parse_set(text: str) -> SetKey:
    """A set's key as `list` prints it.

    Raises:
        ConfigurationError: this is not one.
    """
    parsed = parse_set_folder(text.strip("/"))
    if parsed is None:
        raise ConfigurationError(
            f"{text[:120]!r} is not the key of a set; `list` shows those that are stored."
        )
    return parsed


def parse_verdict_key(key: str) -> VerdictKey | None:
    """The verdict a stored key is; None when it is none."""
    match = _VERDICT.fullmatch(key)
    if match is None:
        return None
    server, set_id, begun, stamp, kind, result, tag = match.groups("")
    at = _moment(stamp)
    if at is None or _moment(begun) is None or not _is_server(server):
        return None
    return VerdictKey(server, set_id, at, kind, result, tag)  # type: ignore[arg-type]


@lru_cache(maxsize=4096)  # sets come in key order, so one scope's follow each other
def _parse_scope(path: str) -> tuple[str, str | None] | None:
    match path.split("/"):
        case [server, "cluster"] if _is_server(server):
            return server, None
        case [server, "db", name] if _is_server(server):
            database = unquote(name)
            return (server, database) if database and encoded(database) == name else None
    return None


@lru_cache(maxsize=4096)  # the same few in each set
def is_file_name(name: str) -> bool:
    """Whether this can be the name of a file in a set: one plain path segment."""
    return bool(_FILE.fullmatch(name)) and len(name) <= 255


@lru_cache(maxsize=256)
def _is_server(text: str) -> bool:
    return bool(NAME.fullmatch(text)) and text != "verdicts"


@lru_cache(maxsize=8192)  # a night's sets, and a run's verdicts, share theirs
def _moment(stamp: str) -> datetime | None:
    try:  # fromisoformat is twenty times faster than strptime: a store may hold 100,000 of these
        return datetime.fromisoformat(stamp)
    except ValueError:
        return None
