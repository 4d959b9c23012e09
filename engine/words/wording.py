"""Words and cells of a report: times, counts, names that may be hostile, and how wide they look."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from datetime import datetime

from engine.errors import names_as_called

_MARKED = re.compile(r"[\\`*_\[\]|~#@]")
_LINKED = re.compile(r"://|www\.", re.IGNORECASE)


def readable_time(at: datetime, *, seconds: bool = False) -> str:
    """A moment for people, in this host's zone: `2026-02-07 02:00 KST`."""
    return at.astimezone().strftime(f"%Y-%m-%d %H:%M{':%S' if seconds else ''} %Z")


def called_alike(name: str, other: str) -> bool:
    """Whether two names look the same: letters with marks may be written as one sign or as two (NFC, NFD)."""
    if name == other or name.isascii():
        return name == other
    return unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", other)


def meant(name: str, known: Iterable[str]) -> str:
    """The known name that somebody means: exactly this one, else the only one that looks the same; else as it is."""
    among = list(known)
    alike = [one for one in among if called_alike(name, one)]
    return alike[0] if name not in among and len(alike) == 1 else name


def one_line(text: str) -> str:
    """`text` without line breaks and without characters that steer a terminal or hide themselves."""
    text = names_as_called(text)
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if char.isprintable() else _spelled(char) for char in text)


def _spelled(char: str) -> str:
    return char.encode("unicode_escape").decode()


def escaped(text: str) -> str:
    """`text` as markdown that shows exactly that text: no emphasis, no link, no cell border, no tag."""
    shown = one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    shown = _MARKED.sub(r"\\\g<0>", shown)
    return _LINKED.sub(lambda found: found[0].replace(":", "\\:").replace(".", "\\."), shown)


def width(text: str) -> int:
    """How many columns of a terminal the text takes; Hangul and other wide letters take two."""
    if text.isascii():
        return len(text)
    return sum(_columns(char) for char in text)


def _columns(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
