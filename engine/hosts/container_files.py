"""What of a container on this machine is seen from outside: its process, its addresses, its socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

_REACH_SECONDS = 2.0
_LINKS = 40
_SOCKET_PATH_BYTES = 107  # what an address of a Unix socket may have


def is_here(container: str, pid: int) -> bool:
    """Whether the container runs on this very machine: an address or a pid means another thing elsewhere."""
    try:
        return bool(container) and container in Path(f"/proc/{pid}/cgroup").read_text(encoding="utf8")
    except OSError:
        return False


def addresses(attributes: Mapping[str, Any], port: int) -> Iterator[tuple[str, int]]:
    """Where a port of the container may be reached from its own machine: its networks, then what is published."""
    settings = attributes["NetworkSettings"]
    networks = (settings.get("Networks") or {}).values()
    for address in [settings.get("IPAddress"), *(each.get("IPAddress") for each in networks)]:
        if address:
            yield address, port
    for published in (settings.get("Ports") or {}).get(f"{port}/tcp") or ():
        any_address = published["HostIp"] in ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound
        yield "127.0.0.1" if any_address else published["HostIp"], int(published["HostPort"])


def answers(address: str, port: int) -> bool:
    """Whether something takes connections there."""
    try:
        socket.create_connection((address, port), _REACH_SECONDS).close()
    except OSError:
        return False
    return True


def socket_here(pid: int, path: str) -> Path | None:
    """A Unix socket of the container as this machine sees it; None when it cannot be used from here."""
    wanted = PurePosixPath(path)
    try:
        found = inside(Path(f"/proc/{pid}/root"), wanted.parent) / wanted.name
        usable = found.is_socket() and os.access(found, os.W_OK) and len(os.fsencode(found)) <= _SOCKET_PATH_BYTES
    except OSError:
        return None
    return found if usable else None


def inside(root: Path, path: PurePosixPath) -> Path:
    """`path` with its links followed as a process whose root is `root` would follow them.

    The kernel follows an absolute link from our own root: /var/run would lead to this machine's /run.

    Raises:
        OSError: there are too many links, or one cannot be read.
    """
    found, left = root, list(reversed(path.parts[1:]))
    links = 0
    while left:
        part = left.pop()
        if part == "..":
            found = found if found == root else found.parent
        elif (found / part).is_symlink():
            links += 1
            if links > _LINKS:
                raise OSError(40, "too many links")
            target = (found / part).readlink()
            found = root if target.is_absolute() else found
            left += reversed(target.parts[1:] if target.is_absolute() else target.parts)
        else:
            found /= part
    return found
