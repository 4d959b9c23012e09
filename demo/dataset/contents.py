"""What the demo's server holds: which databases, whose they are, and the SQL that fills them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files

# Every step of a script is one implicit transaction, and one line of progress.
_STEP = re.compile(r"^-- step: (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Database:
    """One database of the demo.

    `script` and `changes` are file names in this package's `sql` folder, or None for nothing.
    `locale` None means the server's own.
    """

    name: str
    owner: str
    script: str | None
    changes: str | None = None
    locale: str | None = None


# The largest first: two load at a time, and the small ones fill what is left.
DATABASES = (
    Database("kusthub", "kusthub", "kusthub.sql", "change_kusthub.sql"),
    Database("kohub", "kohub", "kohub.sql", "change_kohub.sql"),
    Database("keycloak", "keycloak", "keycloak.sql", "change_keycloak.sql"),
    Database('a b"c', 'O\'Brien "the DBA"', "hostile.sql"),
    Database("운영 노트", "운영자", "korean.sql", locale="C"),
    Database("empty", "platform_admin", None),
)


@dataclass(frozen=True)
class Step:
    """Statements that succeed or fail together, and what they are about."""

    title: str
    statements: bytes


def script(name: str) -> str:
    """The text of one file of the `sql` folder."""
    return (files("demo.dataset") / "sql" / name).read_text(encoding="utf8")


def steps(name: str) -> tuple[Step, ...]:
    """The steps of one file, in their order; what stands above the first one is a comment."""
    _, *parts = _STEP.split(script(name))
    return tuple(Step(title.strip(), text.encode()) for title, text in zip(parts[::2], parts[1::2], strict=True))
