"""Read a realm's JSON as it comes: its users are one value each, so that 100,000 of them need no memory at once."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

from engine.hosts.base import Readable

USERS = "users"
_CHUNK, _LARGEST = 1 << 18, 1 << 28
_ENDS = tuple(",]} \t\r\n")  # what a number ends at: one that is cut at its point is a number too
_SPACE = re.compile(r"[ \t\r\n]*")


class NoRealm(ValueError):
    """These bytes are no whole realm."""


def members(source: Readable) -> Iterator[tuple[str, Any]]:
    """The members of the object that comes, in its order; of the users one after the other.

    Raises:
        NoRealm: it is no JSON object, or it ends too early.
    """
    text = Text(source)
    yield from members_of(text)
    text.at_the_end()


def members_of(text: Text) -> Iterator[tuple[str, Any]]:
    """The members of the next object; more may follow. Raises as `members`."""
    text.one_of("{")
    ended = text.next_is("}")
    while not ended:
        name = text.value()
        text.one_of(":")
        if name == USERS and text.next_is("["):
            yield from ((USERS, user) for user in _elements(text))
        else:
            yield str(name), text.value()
        ended = text.one_of(",}") == "}"


def _elements(text: Text) -> Iterator[Any]:
    ended = text.next_is("]")
    while not ended:
        yield text.value()
        ended = text.one_of(",]") == "]"


class Text:
    """What has come and was not taken yet."""

    def __init__(self, source: Readable) -> None:
        self._source, self._decoder = source, codecs.getincrementaldecoder("utf8")()
        self._text, self._at, self._ended = "", 0, False

    def one_of(self, signs: str) -> str:
        """Take the next sign, which is one of these."""
        self._skip_space()
        found = self._text[self._at : self._at + 1]
        if not found or found not in signs:
            raise NoRealm(f"{signs!r} was expected and not {found or 'the end'!r}")
        self._at += 1
        return found

    def next_is(self, sign: str) -> bool:
        """Take the next sign if it is this one."""
        self._skip_space()
        found = self._text.startswith(sign, self._at)
        self._at += found
        return found

    def value(self) -> Any:
        """Take the next value. One that is not all there is tried again with twice as much."""
        self._skip_space()
        wanted = _CHUNK
        while True:
            try:
                found, end = json.JSONDecoder().raw_decode(self._text, self._at)
                after = self._text[end : end + 1]
                whole = after in _ENDS if isinstance(found, int | float) else after
                if whole or self._ended:
                    self._at = end
                    return found
            except (json.JSONDecodeError, RecursionError):
                if self._ended:
                    raise NoRealm("a value is not whole") from None
            if wanted > _LARGEST:
                raise NoRealm("a value does not end")
            self._more(wanted)
            wanted *= 2

    def at_the_end(self) -> None:
        """Nothing more may come.

        Raises:
            NoRealm: something does.
        """
        self._skip_space()
        if self._at < len(self._text):
            raise NoRealm("there is more than one realm")

    def _skip_space(self) -> None:
        while True:
            found = _SPACE.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text) or self._ended:
                return
            self._more(_CHUNK)

    def _more(self, wanted: int) -> None:
        pieces, size = [self._text[self._at :]], 0
        self._at = 0
        try:
            while size < wanted and (piece := self._source.read(_CHUNK)):
                size += len(piece)
                pieces.append(self._decoder.decode(piece))
            self._ended = size == 0
            pieces.append(self._decoder.decode(b"", final=self._ended))
        except UnicodeDecodeError:
            raise NoRealm("it is no text") from None
        self._text = "".join(pieces)
