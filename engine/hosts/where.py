"""Where client programs run, as a value: `local`, `container:[user@]name` or `ssh:user@host[:port]`."""

from __future__ import annotations

import re
from dataclasses import dataclass

_USER = r"(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]{0,62})"
_CONTAINER = re.compile(rf"container:(?:{_USER}@)?(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]{{0,254}})")
_SSH = re.compile(
    rf"ssh:{_USER}@(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]{{0,252}}[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::(?P<port>[0-9]{{1,5}}))?"
)
SSH_PORT = 22


@dataclass(frozen=True, slots=True)
class OnThisMachine:
    """This machine."""


@dataclass(frozen=True, slots=True)
class InContainer:
    """A container by name or id; `user` is who the programs run as ('': the image's own user)."""

    name: str
    user: str = ""

    def __str__(self) -> str:
        return f"container {self.name}"


@dataclass(frozen=True, slots=True)
class OverSsh:
    """Another machine, reached with SSH."""

    user: str
    host: str
    port: int = SSH_PORT

    def __str__(self) -> str:
        return f"{self.user}@{self.host}" + (f":{self.port}" if self.port != SSH_PORT else "")


Where = OnThisMachine | InContainer | OverSsh


def parse_where(text: str) -> Where:
    """The place that `text` names.

    Raises:
        ValueError: it names none; the message says what is allowed.
    """
    if text == "local":
        return OnThisMachine()
    if found := _CONTAINER.fullmatch(text):
        return InContainer(found["name"], found["user"] or "")
    found = _SSH.fullmatch(text)
    port = int(found["port"] or SSH_PORT) if found else 0
    if found is None or not 0 < port < 65536:
        raise ValueError("say local, container:NAME, container:USER@NAME or ssh:USER@HOST or ssh:USER@HOST:PORT")
    return OverSsh(found["user"], found["host"].strip("[]"), port)


def checked_where(text: str) -> str:
    """`text` itself, once it is known to name a place."""
    parse_where(text)
    return text
