"""The client programs that read a server: where they run, which they are, and that they are new enough."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath

from engine.errors import ConfigurationError
from engine.hosts.base import Host
from engine.sources.postgres.programs.installed import client_programs, version_of
from engine.sources.postgres.server.environment import hidden
from engine.sources.postgres.server.server import Server

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


def tools_for(server: Server, major: int, tls: bool) -> Tools:
    """The programs to dump a server of this major with; they are run once, to tell their version.

    `tls`: our own sessions with it are encrypted.

    Raises:
        ConfigurationError: the host has none, only older ones, or ones without the TLS that is used or asked for.
        TransientFailure: the host cannot be reached.
    """
    if server.host_settings.where == "local":
        folder = programs_here(server, major, tls)
        return Tools(server.host, folder, version_of(folder / "pg_dump") or (major, 0))
    found = _probed(server)
    fitting = [tools for tools in found if tools.version[0] >= major]
    if not fitting:
        raise ConfigurationError(
            f"The server is PostgreSQL {major} and {_listed(found)}{server.host.note}; install the client programs "
            f"of {major} there, or set `tools` to the folder{server.host.note} that has them."
        )
    tools = min(fitting, key=lambda tools: (tools.version[0], -tools.version[1]))
    _check_tls(server, tools.host, tools.folder, tls)
    return tools


def programs_here(server: Server, major: int, tls: bool) -> Path:
    """The folder of this host's programs for a server of this major: what restores, and dumps where it is here.

    Raises:
        ConfigurationError: there are none that fit.
    """
    if server.host_settings.where != "local":  # `tools` is a folder there, and the way there is a forwarded one
        return client_programs(major)
    folder = client_programs(major, server.settings.tools)
    _check_tls(server, server.host, folder, tls)
    return folder


def _check_tls(server: Server, host: Host, folder: PurePath, tls: bool) -> None:
    """Refuse programs without TLS where the setting asks for it, and where they would silently go without it."""
    sslmode = server.settings.sslmode
    required = sslmode in ("require", "verify-ca", "verify-full")
    if not (required or tls) or _know_tls(host, folder):
        return
    would = "" if required else ", so data would cross the network in the clear"
    otherwise = "" if required else ', or, where nobody listens on the way, sslmode = "disable"'
    raise ConfigurationError(
        f"[servers.{server.name}] has sslmode {sslmode!r} and the programs in {folder} were built without TLS"
        f"{would}; install PostgreSQL's own client programs there, or set `tools` to a folder that has them{otherwise}."
    )


def _know_tls(host: Host, folder: PurePath) -> bool:
    environment = {**hidden(), "PGHOST": "/nowhere", "PGSSLMODE": "require"}
    argv = (str(folder / "pg_dump"), "--dbname=postgres")
    return "not compiled in" not in host.run(argv, env=environment, timeout=_PROBE_SECONDS).stderr


def _probed(server: Server) -> list[Tools]:
    host, configured = server.host, server.settings.tools
    done = host.run(("sh", "-c", _PROBE, "platform-ops", configured), env=hidden(), timeout=_PROBE_SECONDS)
    if done.code:
        raise ConfigurationError(
            f"A shell cannot be run{host.note}: {' '.join(done.stderr.split())[-200:] or 'it gave no reason'}; "
            "the client programs need sh there."
        )
    lines = done.stdout.decode("utf8", "replace").splitlines()
    found = ((_VERSION.search(version), folder) for version, _, folder in (line.partition("\t") for line in lines))
    return [
        Tools(host, PurePosixPath(folder), (int(match[1]), int(match[2] or 0)))
        for match, folder in found
        if match and folder.startswith("/")
    ]


def _listed(found: list[Tools]) -> str:
    versions = sorted({tools.version for tools in found})
    message = ", ".join(f"{major}.{minor}" for major, minor in versions)
    return f"there is pg_dump of {message} only" if message else "there is no pg_dump with pg_dumpall"
