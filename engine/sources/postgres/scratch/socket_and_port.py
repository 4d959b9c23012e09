"""Where a server of our own can live: a folder its account reaches, and a free port."""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

from engine.errors import ConfigurationError
from engine.sources.postgres.programs.account import reachable
from engine.streams.spool import temporary_base

_SOCKET_PATH_BYTES = 107


def check_socket_path(folder: Path, port: int = 5432) -> None:
    """Refuse a folder a server could not live in.

    Raises:
        ConfigurationError: its account cannot reach it, or the path of the socket would be too long.
    """
    path = folder / f".s.PGSQL.{port}"
    if len(os.fsencode(path)) > _SOCKET_PATH_BYTES:
        raise ConfigurationError(
            f"{folder} is too long for a Unix socket ({_SOCKET_PATH_BYTES} bytes with its name); choose a shorter one."
        )
    nearest = next(each for each in folder.parents if each.exists())
    if not reachable(nearest):
        raise ConfigurationError(
            f"{nearest} is closed to the account PostgreSQL runs with (it refuses root); choose a folder that "
            "others may pass, such as one in /var/tmp."
        )


def free_port(first: int, address: str = "127.0.0.1") -> int:
    """`first`, or the next port that nothing listens on.

    Raises:
        ConfigurationError: a hundred ports from there on are busy.
    """
    for port in range(first, first + 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                continue
            return port
    raise ConfigurationError(f"The ports {first} to {first + 99} of {address} are all busy; free one.")


def server_folder(preferred: Path) -> Path:
    """`preferred` where a server can live in it, else a folder of its own under /var/tmp (or $TMPDIR).

    The same answer each time, so that a later process finds the server again.

    Raises:
        ConfigurationError: neither can be used.
    """
    wanted = preferred.absolute()
    try:
        check_socket_path(wanted)
    except ConfigurationError:
        token = hashlib.sha256(os.fsencode(wanted)).hexdigest()[:12]
        wanted = temporary_base() / f"platform-ops-{os.geteuid()}-{token}"
        check_socket_path(wanted)
    return wanted
