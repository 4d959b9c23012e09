"""A realm's export made into another one: with things more, or as a second realm beside the first.

Ids are unique in all of a Keycloak, so a second realm gets new ones, the same wherever one of them is spoken of.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from engine.hosts.base import Readable
from engine.sources.keycloak.stream import USERS, members

_UUID = rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_OWN_ID = re.compile(rb'"(?:id|_id|internalId)"\s*:\s*"(' + _UUID + rb')"')


def rewritten(source: Readable, more: Mapping[str, Sequence[Any]], name: str = "") -> Iterator[bytes]:
    """The export that comes, with `more` in its lists, and as a realm called `name` where there is one.

    Raises:
        NoRealm: what comes is none.
    """
    left, before, in_users = dict(more), b"{", False
    for member, value in members(source):
        if in_users and member != USERS:
            yield _elements(left.pop(USERS, ()), b",") + b"]"
            in_users = False
        if member == USERS:
            yield (b"," if in_users else before + b'"users":[') + json.dumps(value).encode()
            in_users = True
        else:
            value = name if name and member == "realm" else value
            value = [*value, *left.pop(member)] if member in left else value
            yield before + json.dumps(member).encode() + b":" + json.dumps(value).encode()
        before = b","
    if in_users:
        yield _elements(left.pop(USERS, ()), b",") + b"]"
    for member, values in left.items():
        yield before + json.dumps(member).encode() + b":" + json.dumps(list(values)).encode()
    yield b"}"


def _elements(values: Sequence[Any], before: bytes) -> bytes:
    return b"".join(before + json.dumps(value).encode() for value in values)


def as_another(export: bytes, name: str, into: str) -> bytes:
    """The export of realm `name` as one of a realm `into` beside it: with ids of its own, and its own addresses."""
    own = set(_OWN_ID.findall(export))

    def renewed(found: re.Match[bytes]) -> bytes:
        return str(uuid5(NAMESPACE_URL, f"{into}/{found[0].decode()}")).encode() if found[0] in own else found[0]

    export = re.sub(_UUID, renewed, export)
    for folder in ("realms", "admin"):
        export = export.replace(_quoted(f"/{folder}/{name}/"), _quoted(f"/{folder}/{into}/"))
    return b"".join(rewritten(io.BytesIO(export), {}, into))


def _quoted(address: str) -> bytes:
    """The start of a text that begins so."""
    return json.dumps(address, ensure_ascii=False)[:-1].encode()
