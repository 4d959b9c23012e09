"""An object's privileges as pg_dump writes them: which statements, and in whose name."""

from __future__ import annotations

import re

_STATEMENT = re.compile(r'(?:"(?:[^"]|"")*"|[^";])+;')
_QUOTED_OR_BLANK = re.compile(r'("(?:[^"]|"")*")|\s+')
_AS_ANOTHER = "SET SESSION AUTHORIZATION "
_AS_BEFORE = "RESET SESSION AUTHORIZATION;"


def granted(text: str) -> str:
    """The statements, each after who makes it, in an order that says nothing.

    A correct restore may bring the same privileges back in another order, and another pg_dump with other blanks.
    """
    whose, statements_of = "", []
    for found in _STATEMENT.findall(text):
        statement = _QUOTED_OR_BLANK.sub(lambda piece: piece[1] or " ", found).strip()
        if statement.startswith(_AS_ANOTHER):
            whose = statement + " "
        elif statement == _AS_BEFORE:
            whose = ""
        else:
            statements_of.append(whose + statement)
    return "\n".join(sorted(statements_of))
