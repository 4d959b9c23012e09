"""A realm, thing by thing: what two exports of it have in common and what not, without any of its secrets.

A thing (a client, a role, a user) is what its fields are; a field is a number, a truth value, or a digest of what it
says. Keycloak keeps lists in tables without an order, so the order of a list says nothing.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from engine.hosts.base import Readable
from engine.sources.keycloak.stream import USERS, NoRealm, members

_NAMED = ("name", "alias", "clientId", "username", "providerId")
"""What the elements of a list are told apart by, where each has one of its own."""
_PARTS = {
    "clients": ("client", "clientId"),
    "clientScopes": ("client scope", "name"),
    "authenticationFlows": ("flow", "alias"),
    "authenticatorConfig": ("flow configuration", "alias"),
    "requiredActions": ("required action", "alias"),
    "identityProviders": ("identity provider", "alias"),
    "identityProviderMappers": ("identity provider mapper", "name"),
    USERS: ("user", "username"),
}
COUNTED = ("identity provider", "flow", "group", "role", "client", "user")
"""What a set says how many there are of."""
SETTINGS = "setting"
"""What a field of the realm itself is called."""

Fields = Mapping[str, "bool | int | float | str"]


class Thing(NamedTuple):
    """What it is, and its name; of the realm itself there is one without a name."""

    part: str
    name: str

    def __str__(self) -> str:
        return f"{self.part} {self.name}" if self.name else "the realm itself"


@dataclass
class Realm:
    """`version` is Keycloak's, `things` are by what and name. `federated`: some of
    its users are kept elsewhere (LDAP)."""

    name: str = ""
    version: str = ""
    things: dict[Thing, Fields] = field(default_factory=dict)
    federated: bool = False

    @property
    def counts(self) -> dict[str, int]:
        """By noun, how many there are."""
        found = Counter(thing.part for thing in self.things)
        return {noun: found[noun] for noun in COUNTED}

    @property
    def users(self) -> set[str]:
        """Their names, with those of clients."""
        return {thing.name for thing in self.things if thing.part == "user"}

    @property
    def digest(self) -> str:
        """Equal for two exports that say the same (SHA-256, hex). An export holds private keys, so it tells nothing."""
        total = hashlib.sha256()
        for thing in sorted(self.things):
            total.update(json.dumps([thing, sorted(self.things[thing].items())]).encode())
        return total.hexdigest()


def read_realm(source: Readable) -> Realm:
    """The realm whose export comes.

    Raises:
        NoRealm: it is none, or not whole.
    """
    realm, own = Realm(), {}
    same: dict[Thing, list[Fields]] = {}
    for name, value in members(source):
        _require_form(name, value)
        if name == "realm":
            realm.name = str(value)
        if name == "keycloakVersion":
            realm.version = str(value)
        found = list(_things(name, value))
        for thing, fields in found:
            same.setdefault(thing, []).append(fields)
        if not found and name not in _PARTS:
            own[name] = value
    realm.things = dict(_each_with_a_name(same))
    realm.federated = any(thing.name.startswith("UserStorageProvider/") for thing in realm.things)
    realm.things[Thing(SETTINGS, "")] = dict(_flat(own))
    if not realm.name:
        raise NoRealm("it has no name")
    return realm


def _things(name: str, value: Any) -> Iterator[tuple[Thing, Fields]]:
    """What a member of the export holds, one by one; nothing where it is the realm's own."""
    if name == USERS:
        yield _named("user", value, "username")
    elif name in _PARTS:
        part, key = _PARTS[name]
        yield from (_named(part, each, key) for each in value or ())
    elif name == "groups":
        yield from _groups(value or ())
    elif name == "roles":
        yield from (_named("role", each, "name") for each in value.get("realm") or ())
        for client, roles in (value.get("client") or {}).items():
            yield from (_named("role", each, "name", f"{client}/") for each in roles or ())
    elif name == "components":
        for kind, found in value.items():
            short = kind.rpartition(".")[2]
            yield from (_named("component", each, "name", _kind_of(short, each)) for each in found or ())


def _require_form(name: str, value: Any) -> None:
    """Raises NoRealm: it is not as Keycloak writes it."""
    rows = [value] if name == "groups" or (name in _PARTS and name != USERS) else []
    if name in ("roles", "components"):
        if not isinstance(value, dict):
            raise NoRealm(f"its {name} are none")
        rows = [value.get("realm"), *_values(value.get("client"))] if name == "roles" else [*value.values()]
    if any(not isinstance(row, list | None) or any(not isinstance(each, dict) for each in row or ()) for row in rows):
        raise NoRealm(f"its {name} are none")


def _values(value: Any) -> list[Any]:
    return [*value.values()] if isinstance(value, dict) else [value]


def _kind_of(short: str, component: Mapping[str, Any]) -> str:
    kind = component.get("subType")
    return f"{short}/{kind}/" if kind else f"{short}/"


def _groups(groups: Any) -> Iterator[tuple[Thing, Fields]]:
    for group in groups:
        yield _named("group", {name: each for name, each in group.items() if name != "subGroups"}, "path")
        yield from _groups(group.get("subGroups") or ())


def _named(part: str, value: Any, key: str, before: str = "") -> tuple[Thing, Fields]:
    if not isinstance(value, dict):
        raise NoRealm(f"a {part} is none")
    return Thing(part, before + str(value.get(key, ""))), dict(_flat(value))


def _each_with_a_name(same: Mapping[Thing, Sequence[Fields]]) -> Iterator[tuple[Thing, Fields]]:
    """Some have the same name: they are numbered, in whatever order they came."""
    for thing, found in same.items():
        if len(found) > 1:
            found = sorted(found, key=lambda each: sorted(map(str, each.items())))
        for number, fields in enumerate(found, 1):
            yield (thing if number == 1 else thing._replace(name=f"{thing.name} ({number})")), fields


def _flat(value: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, bool | int | float | str]]:
    """By path what is there; what is empty is not."""
    for name, each in value.items():
        here = sys.intern(f"{path}.{name}" if path else str(name))  # the same few in each user
        if isinstance(each, dict):
            yield from _flat(each, here)
        elif isinstance(each, list) and (keyed := _keyed(each)):
            for own, element in keyed.items():
                yield from _flat(element, f"{here}[{own}]")
        elif isinstance(each, bool | int | float):
            yield here, each
        elif each not in (None, []):
            yield here, _digest(each)


def _keyed(values: list[Any]) -> dict[str, Any] | None:
    """The elements of a list by their names, where each has one of its own."""
    for key in _NAMED:
        if all(isinstance(each, dict) and isinstance(each.get(key), str) for each in values):
            found = {each[key]: each for each in values}
            if len(found) == len(values):
                return found
    return None


def _digest(value: Any) -> str:
    return hashlib.sha256(_canonical(value).encode("utf8", "surrogatepass")).hexdigest()[:24]


def _canonical(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{_canonical(value[name])}" for name in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(sorted(map(_canonical, value))) + "]"
    return json.dumps(value)
