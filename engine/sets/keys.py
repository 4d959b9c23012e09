"""The keys of a store: the one place that knows how sets, files and verdicts are named.

`<server>/cluster/<set>/<file>`, `<server>/db/<percent-encoded database>/<set>/<file>` and
`<server>/verdicts/<set>/<time>-<kind>-<result>.json`, where `<set>` is `yyyymmddThhmmssZ-<id>`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import quote, unquote

from engine.errors import ConfigurationError

Scope = Literal["cluster", "database"]
VerdictKind = Literal["verify", "drill"]
VerdictResult = Literal["passed", "failed", "unverified", "sampled", "incomplete"]

MANIFEST = "manifest.json"
_TIME = "%Y%m%dT%H%M%SZ"
_SET = re.compile(r"(\d{8}T\d{6}Z)-([a-z0-9]{4,32})")
_VERDICT = re.compile(r"(\d{8}T\d{6}Z)-(verify|drill)-(passed|failed|unverified|sampled|incomplete)\.json")


def encoded(database: str) -> str:
    """A database's name as one path segment: percent-encoded, never starting with a dot."""
    segment = quote(database, safe="")
    return "%2E" + segment[1:] if segment.startswith(".") else segment


@dataclass(frozen=True, slots=True, order=True)
class SetKey:
    """One set's place in a store. `database` is None for a cluster set."""

    server: str
    database: str | None
    set_id: str

    @property
    def scope(self) -> Scope:
        return "cluster" if self.database is None else "database"

    @property
    def prefix(self) -> str:
        """The key everything of the set starts with; it ends in `/`."""
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


@dataclass(frozen=True, slots=True)
class VerdictKey:
    """An immutable file that says what a verification or a drill found."""

    server: str
    set_id: str
    at: datetime
    kind: VerdictKind
    result: VerdictResult

    def __str__(self) -> str:
        return (
            f"{self.server}/verdicts/{self.set_id}/{self.at.strftime(_TIME)}-{self.kind}-{self.result}.json"
        )


def scope_prefix(server: str, database: str | None) -> str:
    return f"{server}/cluster/" if database is None else f"{server}/db/{encoded(database)}/"


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
    if not match:
        raise ConfigurationError(
            f"{set_id[:80]!r} is not a set id such as 20260207T170000Z-3f9a1c; see `list`."
        )
    return datetime.strptime(match[1], _TIME).replace(tzinfo=UTC)


def parse_set_key(key: str) -> tuple[SetKey, str] | None:
    """The set a stored key belongs to and the file's name in it; None when it is none of ours."""
    match key.split("/"):
        case [server, "cluster", set_id, file] if _SET.fullmatch(set_id):
            return SetKey(server, None, set_id), file
        case [server, "db", name, set_id, file] if _SET.fullmatch(set_id) and encoded(unquote(name)) == name:
            return SetKey(server, unquote(name), set_id), file
    return None


def parse_set(text: str) -> SetKey:
    """A set's key as `list` prints it.

    Raises:
        ConfigurationError: this is not one.
    """
    parsed = parse_set_key(f"{text.strip('/')}/{MANIFEST}")
    if parsed is None:
        raise ConfigurationError(
            f"{text[:120]!r} is not the key of a set; `list` shows those that are stored."
        )
    return parsed[0]


def parse_verdict_key(key: str) -> VerdictKey | None:
    """The verdict a stored key is; None when it is none."""
    match key.split("/"):
        case [server, "verdicts", set_id, name] if _SET.fullmatch(set_id) and (
            found := _VERDICT.fullmatch(name)
        ):
            at = datetime.strptime(found[1], _TIME).replace(tzinfo=UTC)
            return VerdictKey(server, set_id, at, found[2], found[3])  # type: ignore[arg-type]
    return None
