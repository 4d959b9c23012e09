"""Where PostgreSQL's programs are on this host: configured, installed, or from the wheel.

A client may be newer than the server it reads, never older. A scratch server is of exactly the
source's major.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.errors import ConfigurationError, CouldNotVerify, OutOfResources, PlatformOpsError
from engine.hosts.machine import Local
from engine.sources.postgres.programs import wheel

CLIENTS = ("pg_dump", "pg_dumpall", "pg_restore", "psql")
SERVERS = ("initdb", "postgres")
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)(?:\.(\d+))?")
_INSTALLED = Path("/usr/lib/postgresql")  # Debian: <major>/bin
_RED_HAT = Path("/usr")  # pgsql-<major>/bin
_VERSION_SECONDS = 20
# Since these, dumps hold \restrict lines, which an older psql takes for an error.
_RESTRICT = {13: 22, 14: 19, 15: 14, 16: 10, 17: 6}


@dataclass(frozen=True, slots=True, order=True)
class Programs:
    """A folder of programs and the version they are of."""

    major: int
    minor: int
    folder: Path

    @property
    def version(self) -> str:
        return f"{self.major}.{self.minor}"

    @property
    def knows_restrict(self) -> bool:
        """Whether its psql reads what today's pg_dump writes."""
        return self.major >= 18 or self.minor >= _RESTRICT.get(self.major, 10**6)


def client_programs(server_major: int, tools: str = "") -> Path:
    """The folder of pg_dump, pg_dumpall, pg_restore and psql to use with a server of this major.

    `tools`, the configured folder, is used as it is when it fits. Otherwise the server's own major
    is preferred (what a newer one writes may not restore there), then the next newer; of one
    major the newest minor.

    Raises:
        ConfigurationError: the configured folder, or this host, has none that fits.
    """
    if tools:
        return _configured(Path(tools).expanduser(), server_major)
    found = list(_found(CLIENTS))
    fitting = [each for each in found if each.major >= server_major and each.knows_restrict]
    if not fitting:
        raise ConfigurationError(
            f"The server is PostgreSQL {server_major} and this host has {_listed(found, 'client programs')}; "
            f"install postgresql-client-{server_major} (its newest minor) or set `tools` to a folder that has it."
        )
    return min(fitting, key=lambda each: (each.major, -each.minor)).folder


def server_programs(major: int) -> Path:
    """The folder of postgres and initdb of exactly this major, reachable by the account they run with.

    Raises:
        CouldNotVerify: this host has none.
        ConfigurationError: it has one that cannot be made reachable.
    """
    found = list(_found(SERVERS))
    fitting = [each.folder for each in found if each.major == major]
    if not fitting:
        raise CouldNotVerify(
            f"A scratch server must be PostgreSQL {major} and this host has {_listed(found, 'server programs')}; "
            f"install postgresql-{major} here, or run where it is."
        )
    return wheel.for_server(fitting[0])


def version_of(program: Path) -> tuple[int, int] | None:
    """Major and minor a program of PostgreSQL says it is; None when it does not run.

    Raises:
        OutOfResources: no program could be started now, so nothing is known of this one.
    """
    try:
        answer = Local().run((str(program), "--version"), env={}, timeout=_VERSION_SECONDS)
    except OutOfResources:
        raise
    except (PlatformOpsError, ValueError):
        return None
    match = _VERSION.search(answer.stdout.decode("utf8", "replace")) if answer.code == 0 else None
    return (int(match[1]), int(match[2] or 0)) if match else None


def _configured(folder: Path, server_major: int) -> Path:
    version = version_of(folder / "psql") if _has(folder, CLIENTS) else None
    if version is None:
        raise ConfigurationError(
            f"The configured tools folder {folder} lacks a working {', '.join(CLIENTS)}; correct `tools`."
        )
    found = Programs(*version, folder)
    if found.major < server_major or not found.knows_restrict:
        raise ConfigurationError(
            f"The configured tools folder {folder} has PostgreSQL {found.version}, which is too old for a server "
            f"of major {server_major}; install its newest client there or correct `tools`."
        )
    return folder


def _found(names: tuple[str, ...]) -> Iterator[Programs]:
    """Every folder of this host that has all of `names`, in the order they are preferred."""
    seen = set()
    for folder in _candidates(names[-1]):
        if folder not in seen and _has(folder, names):
            seen.add(folder)
            version = version_of(folder / names[-1])
            if version:
                yield Programs(*version, folder)


def _candidates(program: str) -> Iterator[Path]:
    for entry in os.get_exec_path():
        found = Path(entry) / program
        if entry and _is_file(found):
            # Debian's /usr/bin/psql is a wrapper that guesses a version; the folder it is in has no others.
            yield found.resolve().parent
    yield from sorted(_INSTALLED.glob("[0-9]*/bin"), key=_major, reverse=True)
    yield from sorted(_RED_HAT.glob("pgsql-[0-9]*/bin"), key=_major, reverse=True)
    yield from wheel.folders()


def _is_file(path: Path) -> bool:
    """Whether it is there; what is in a folder that this user may not look into is not."""
    try:
        return path.is_file()
    except OSError:
        return False


def _major(folder: Path) -> int:
    digits = re.sub(r"\D", "", folder.parent.name)
    return int(digits or 0)


def _has(folder: Path, names: tuple[str, ...]) -> bool:
    return all(os.access(folder / name, os.X_OK) for name in names)


def _listed(found: list[Programs], what: str) -> str:
    versions = ", ".join(sorted({each.version for each in found}, key=lambda text: int(text.split(".")[0])))
    return f"{what} of {versions} only" if versions else f"no {what}"
