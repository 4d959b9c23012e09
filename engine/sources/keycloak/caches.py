"""What a server that runs remembers of its realms, and that it has to forget it after an import beside it.

The import has committed when our run is killed, or not: who is killed in between leaves a mark where Keycloak runs, and the
next run lets the server forget. Both are harmless where nothing was imported.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from engine.errors import OperationFailed, PlatformOpsError
from engine.hosts.base import Host
from engine.sources.keycloak.admin import AdminApi

_MASTER, _SECONDS = "master", 30.0
_FOLDER = 'folder=/dev/shm; [ -w "$folder" ] || folder=/tmp; mark="$folder/platform-ops-$1.import"; '


def forget(api: AdminApi) -> None:
    """Let the server read realms, users and keys anew."""
    for what in ("realm", "user", "keys"):
        api.ask("POST", f"/{_MASTER}/clear-{what}-cache")


@contextmanager
def forgetting(host: Host, name: str, api: AdminApi) -> Iterator[None]:
    """What is imported meanwhile, the server sees at the end; also where we are killed, by the next run.

    Raises:
        PlatformOpsError: it cannot be marked, so nothing was begun; or the server does not answer.
    """
    _at_mark(host, name, ': >"$mark"')
    try:
        yield
    finally:
        forget(api)
        with suppress(PlatformOpsError):  # once more does no harm
            _at_mark(host, name, 'rm -f "$mark"')


def forget_what_is_left(host: Host, name: str, api: AdminApi) -> None:
    """Where a run was killed at its import (which the lock's taker is told); raises as `forgetting`."""
    forget(api)
    _at_mark(host, name, 'rm -f "$mark"')


def _at_mark(host: Host, name: str, command: str) -> None:
    done = host.run(("sh", "-c", _FOLDER + command, "platform-ops", name), env={}, timeout=_SECONDS)
    if done.code:
        raise OperationFailed(f"No file can be made{host.note} in /dev/shm or /tmp ({done.code}); make one writable.")
