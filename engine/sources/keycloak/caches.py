"""What a server that runs remembers of its realms, and that it has to forget it after an import beside it.

The import has committed when our run is killed, or not: who is killed in between leaves a mark where Keycloak runs, and the
next run lets the server forget. Both are harmless where nothing was imported. A realm that comes in pages is named in the
mark, and switched off until it is whole: the next run removes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass

from engine.errors import NotFound, OperationFailed, PlatformOpsError
from engine.hosts.base import Host
from engine.sources.keycloak.admin import AdminApi, quoted

_MASTER, _SECONDS = "master", 30.0
_FOLDER = 'folder=/dev/shm; [ -w "$folder" ] || folder=/tmp; mark="$folder/platform-ops-$1.import"; '
_REMOVE = 'rm -rf "$mark" "$mark".*'
"""With it the pages of an import that was killed (`programs`)."""


@dataclass(frozen=True)
class Half:
    """A realm that is imported in pages, by its name and id."""

    realm: str
    id: str

    def remove(self, api: AdminApi) -> None:
        """Where it is there and switched off, so not whole."""
        with suppress(NotFound):
            found = api.ask("GET", f"/{quoted(self.realm)}")
            if (found["id"], found["enabled"]) == (self.id, False):
                api.ask("DELETE", f"/{quoted(self.realm)}")


def forget(api: AdminApi) -> None:
    """Let the server read realms, users and keys anew."""
    for what in ("realm", "user", "keys"):
        api.ask("POST", f"/{_MASTER}/clear-{what}-cache")


@contextmanager
def forgetting(host: Host, name: str, api: AdminApi, half: Half | None = None) -> Iterator[None]:
    """What is imported meanwhile, the server sees at the end; also where we are killed, by the next run, which removes
    `half`.

    Raises:
        PlatformOpsError: it cannot be marked, so nothing was begun; or the server does not answer.
    """
    _at_mark(host, name, 'printf %s "$2" >"$mark"', json.dumps(asdict(half)) if half else "")
    try:
        yield
    finally:
        forget(api)
        with suppress(PlatformOpsError):  # once more does no harm
            _at_mark(host, name, _REMOVE)


def is_whole(host: Host, name: str) -> None:
    """The realm in the mark is: from now on nobody removes it, also where somebody switches it off.

    Raises:
        OperationFailed: the mark cannot be written.
    """
    _at_mark(host, name, ': >"$mark"')


def forget_what_is_left(host: Host, name: str, api: AdminApi) -> None:
    """Where a run was killed at its import (which the lock's taker is told); raises as `forgetting`."""
    forget(api)
    if half := _at_mark(host, name, 'cat "$mark"'):
        Half(**json.loads(half)).remove(api)
    _at_mark(host, name, _REMOVE)


def _at_mark(host: Host, name: str, command: str, content: str = "") -> bytes:
    done = host.run(("sh", "-c", _FOLDER + command, "platform-ops", name, content), env={}, timeout=_SECONDS)
    if done.code:
        raise OperationFailed(f"No file can be made{host.note} in /dev/shm or /tmp ({done.code}); make one writable.")
    return done.stdout
