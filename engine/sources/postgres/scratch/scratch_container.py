"""A throw-away container of the source's own image: same server, same extensions, same C library.

It has no network; its Unix socket lies in a private folder of this host. Its label says whose it is, so
that the next drill removes one whose owner was killed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from docker.errors import APIError, DockerException, ImageNotFound

from engine.errors import CouldNotVerify
from engine.hosts.owned_containers import engine_client, ours, sweep_containers
from engine.sources.postgres.scratch.scratch import SETTINGS
from engine.sources.postgres.server.environment import forget_shell
from engine.streams.spool import spool_folder

_PORT = 5432
_START_SECONDS = 120.0
_POLL_SECONDS = 0.1
# Settings and names come as arguments: nothing of them is read by the shell.
_SCRIPT = """
set -e
umask 077
superuser=$1 encoding=$2 locale=$3
shift 3
initdb -D /tmp/scratch --username="$superuser" --encoding="$encoding" --locale="$locale" \
    --auth-local=trust --no-sync >/dev/null
exec postgres -D /tmp/scratch "$@"
"""


@dataclass(frozen=True, slots=True)
class ScratchContainer:
    """Where its server is reached: a Unix socket in the folder `socket`."""

    socket: Path
    superuser: str
    port: int = _PORT

    def conninfo(self) -> str:
        return f"host={self.socket} port={self.port} user={self.superuser} dbname=postgres"


def has_image(image: str, engine: str = "") -> bool:
    """Whether a container engine answers here and has this image."""
    try:
        with closing(engine_client(engine)) as client:
            client.images.get(image)
    except (DockerException, OSError):
        return False
    return True


@contextmanager
def scratch_container(
    image: str, *, superuser: str, encoding: str, locale: str, engine: str = "", base: Path | None = None
) -> Iterator[ScratchContainer]:
    """A new, empty server of this image; removed at the end.

    Raises:
        CouldNotVerify: the engine or the server did not start it (with its last words).
    """
    with closing(engine_client(engine)) as client, _socket_folder(base) as folder:
        sweep_containers(client)
        server = ScratchContainer(folder, superuser)
        arguments = [superuser, encoding, locale, *_options()]
        try:
            container = client.containers.run(
                image, **_isolated(folder), command=["sh", "-c", _SCRIPT, "sh", *arguments]
            )
        except (APIError, ImageNotFound, OSError) as error:
            raise CouldNotVerify(f"No scratch container of {image} could start: {_summary(error)}") from None
        try:
            _await_ready(container, server)
            yield server
        finally:
            with suppress(DockerException, OSError):  # no fault of the set; the next drill removes it
                container.remove(force=True, v=True)


def _options() -> list[str]:
    settings = {**SETTINGS, "listen_addresses": "", "unix_socket_directories": "/scratch", "port": str(_PORT)}
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _isolated(folder: Path) -> Mapping[str, Any]:
    return {
        "entrypoint": "",
        "user": "postgres",
        "network_mode": "none",
        "detach": True,
        "labels": ours(),
        "volumes": {str(folder): {"bind": "/scratch", "mode": "rw"}},
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
    }


@contextmanager
def _socket_folder(base: Path | None) -> Iterator[Path]:
    """A folder the container's account may write to, inside one that only this user passes."""
    with spool_folder(base) as outer:
        inner = outer / "s"
        inner.mkdir()
        inner.chmod(0o777)
        yield inner


def _await_ready(container: Any, server: ScratchContainer) -> None:
    deadline = time.monotonic() + _START_SECONDS
    forget_shell()
    while True:
        with suppress(psycopg.OperationalError), psycopg.connect(server.conninfo(), connect_timeout=5):
            return
        container.reload()
        if container.status == "exited" or time.monotonic() > deadline:
            words = container.logs(tail=5).decode("utf8", "replace")
            raise CouldNotVerify(
                f"The scratch container of {container.image.id} did not start: {' '.join(words.split())[-300:]}"
            )
        time.sleep(_POLL_SECONDS)


def _summary(error: Exception) -> str:
    return " ".join(str(getattr(error, "explanation", None) or error).split())[:300]
