"""The client programs that read a server: where they run, which they are, and that they are new enough."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath, PurePosixPath

from engine.errors import ConfigurationError
from engine.hosts.base import Host
from engine.postgres.embedded import client_programs, version_of
from engine.postgres.server import Server

_PROBE_SECONDS = 60.0
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)(?:\.(\d+))?")
# Without a folder of its own: the usual places, then PATH (Debian's programs there guess a version).
_PROBE = (
    '[ -n "$1" ] || set -- /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/local/pgsql/bin '
    '"$(dirname "$(command -v pg_dump || echo /nowhere/pg_dump)")"; '
    'for folder in "$@"; do if [ -x "$folder/pg_dump" ] && [ -x "$folder/pg_dumpall" ]; '
    'then printf "%s\\t%s\\n" "$("$folder/pg_dump" --version)" "$folder"; fi; done; exit 0'
)


@dataclass(frozen=True, slots=True)
class Tools:
    """pg_dump and pg_dumpall: the `folder` on `host`, their major and minor."""

    host: Host
    folder: PurePath
    version: tuple[int, int]


def tools_for(server: Server, major: int) -> Tools:
    """The programs to dump a server of this major with; they are run once, to tell their version.

    Raises:
        ConfigurationError: the host has none, only older ones, or ones without the TLS that is asked for.
        TransientFailure: the host cannot be reached.
    """
    if server.settings.where == "local":
        folder = client_programs(major, server.settings.tools)
        return _fit_for_tls(server, Tools(server.host, folder, version_of(folder / "pg_dump") or (major, 0)))
    found = _probed(server)
    fitting = [tools for tools in found if tools.version[0] >= major]
    if not fitting:
        raise ConfigurationError(
            f"The server is PostgreSQL {major} and {_listed(found)}{server.host.note}; install the client programs "
            f"of {major} there, or set `tools` to the folder{server.host.note} that has them."
        )
    return _fit_for_tls(server, min(fitting, key=lambda tools: (tools.version[0], -tools.version[1])))


def _fit_for_tls(server: Server, tools: Tools) -> Tools:
    """Refuse programs without TLS where the setting asks for it: they would fail at the first database."""
    if server.settings.sslmode not in ("require", "verify-ca", "verify-full"):
        return tools
    environment = {"PGHOST": "/nowhere", "PGSSLMODE": "require"}
    asked = tools.host.run(
        (str(tools.folder / "pg_dump"), "--dbname=postgres"), env=environment, timeout=_PROBE_SECONDS
    )
    if "not compiled in" not in asked.stderr:
        return tools
    raise ConfigurationError(
        f"[servers.{server.name}] has sslmode {server.settings.sslmode!r} and the programs in {tools.folder} were built "
        "without TLS; install PostgreSQL's own client programs there, or set `tools` to a folder that has them."
    )


def _probed(server: Server) -> list[Tools]:
    host, configured = server.host, server.settings.tools
    done = host.run(("sh", "-c", _PROBE, "platform-ops", configured), env={}, timeout=_PROBE_SECONDS)
    if done.code:
        raise ConfigurationError(
            f"A shell cannot be run{host.note}: {' '.join(done.stderr.split())[-200:] or 'it gave no reason'}; "
            "the client programs need sh there."
        )
    lines = done.stdout.decode("utf8", "replace").splitlines()
    found = (
        (_VERSION.search(version), folder) for version, _, folder in (line.partition("\t") for line in lines)
    )
    return [
        Tools(host, PurePosixPath(folder), (int(match[1]), int(match[2] or 0)))
        for match, folder in found
        if match and folder.startswith("/")
    ]


def _listed(found: list[Tools]) -> str:
    versions = sorted({tools.version for tools in found})
    said = ", ".join(f"{major}.{minor}" for major, minor in versions)
    return f"there is pg_dump of {said} only" if said else "there is no pg_dump with pg_dumpall"
