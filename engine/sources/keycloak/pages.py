"""A realm that comes as a row of documents, its users in pages, read as the one document it would else be.

Each page is a look at Keycloak of its own: who was added or removed in between may move a user out of all of them, or
into two. Two are made one here; that nobody is missing, `whole` sees.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from engine.hosts.base import Readable
from engine.sources.keycloak.stream import USERS, NoRealm, Text, members, members_of


class Joined:
    """What is read is one document."""

    def __init__(self, source: Readable, per_page: int) -> None:
        self._pieces, self._left = _joined(Text(source), per_page), bytearray()

    def read(self, size: int, /) -> bytes:
        """As a stream does; raises NoRealm where a document is missing or no page."""
        while len(self._left) < size and (piece := next(self._pieces, b"")):
            self._left += piece
        taken = bytes(self._left[:size])
        del self._left[:size]
        return taken


def paged(export: Readable, per_page: int, *, switched_off: bool = False) -> Iterator[bytes]:
    """An export as a row of documents: the realm, `switched_off` or as it is, then its users in pages."""
    head: dict[str, Any] = {}
    users: list[Any] = []
    pages: list[bytes] = []
    for member, value in members(export):
        if member != USERS:
            head[member] = value
            continue
        users.append(value)
        if len(users) == per_page:
            pages.append(_json(users))
            users = []
    yield _json(head | ({"enabled": False} if switched_off else {}))
    for page in (*pages, *([_json(users)] if users else [])):
        yield b'{"realm":' + _json(head.get("realm")) + b',"users":' + page + b"}"


def _joined(text: Text, per_page: int) -> Iterator[bytes]:
    name, before = "", b"{"
    for member, value in members_of(text):
        if member == USERS:
            raise NoRealm("users came before their pages")
        name = value if member == "realm" else name
        yield before + _json(member) + b":" + _json(value)
        before = b","
    before = b',"users":['
    for user in _once(_paged(text, name, per_page)):
        yield before + _json(user)
        before = b","
    yield b"]}" if before == b"," else b"}"


def _paged(text: Text, name: str, per_page: int) -> Iterator[Any]:
    """The users of all pages, up to the document that says it is the end."""
    last = per_page
    while True:
        page, users = {}, 0
        for member, value in members_of(text):
            if member == USERS:
                users += 1
                yield value
            else:
                page[member] = value
        if page == {"end": 0} and not users:
            break
        if page != {"realm": name} or last != per_page or not 0 < users <= per_page:
            raise NoRealm("a page of its users is missing, or is none")
        last = users
    text.at_the_end()


def _once(users: Iterator[Any]) -> Iterator[Any]:
    seen: set[Any] = set()
    for user in users:
        own = user.get("username") if isinstance(user, dict) else None
        if own is None:
            raise NoRealm("a user is none")
        if own not in seen:
            seen.add(own)
            yield user


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
