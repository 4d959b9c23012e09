"""A throw-away Keycloak of the source's own image that nobody reaches: no network, a database of its own in memory.

Its label says whose it is, so that the next drill removes one whose owner was killed. What is restored into it lies in
memory only, and goes with it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx
from docker.errors import APIError, DockerException, ImageNotFound

from engine.errors import CouldNotVerify
from engine.hosts.base import Host, Program
from engine.hosts.container import Container
from engine.hosts.owned_containers import engine_client, ours, sweep_containers
from engine.hosts.where import InContainer
from engine.sources.keycloak.admin import http_client
from engine.sources.keycloak.export import Keycloak
from engine.sources.keycloak.programs import environment

FOLDER = "/scratch"
"""In its memory, gone with it."""
_KC = "/opt/keycloak/bin/kc.sh"
_URL = "http://127.0.0.1:8080"
_BUILD_SECONDS, _READY_SECONDS, _POLL_SECONDS = 300.0, 240.0, 0.3
_ENDS_SECONDS = 6 * 3600
_MEMORY_MIB, _USERS_PER_MIB, _USERS_PER_SECOND = 768, 50, 5
_SETTINGS: Mapping[str, str | None] = {
    "KC_DB": "dev-file",
    "KC_DB_URL": f"jdbc:h2:file:{FOLDER}/keycloak;NON_KEYWORDS=VALUE;AUTO_SERVER=TRUE",
    "KC_DB_USERNAME": "sa",
    "KC_DB_PASSWORD": "scratch",
    "KC_CACHE": "local",
    "KC_HTTP_RELATIVE_PATH": "/",
    "KC_HTTP_ENABLED": "true",
    "KC_HTTP_HOST": "127.0.0.1",
    "KC_HOSTNAME_STRICT": "false",
    "KC_PROXY_HEADERS": "xforwarded",  # a realm that asks for TLS is told that the drill has it
    "KC_HOSTNAME": None,
    "KC_HOSTNAME_URL": None,
    "KC_HOSTNAME_ADMIN_URL": None,
    "KEYCLOAK_ADMIN": None,
    "KEYCLOAK_ADMIN_PASSWORD": None,
}


@dataclass(frozen=True)
class ScratchKeycloak:
    """An empty Keycloak; nothing of it runs yet. `keycloak` imports into it and exports from it."""

    host: Host
    keycloak: Keycloak

    def serve(self) -> Serving:
        """Start it.

        Raises:
            CouldNotVerify: it does not answer in time.
        """
        program = self.host.stream(("bash", _KC, "start", "--optimized"), env=_environment())
        serving = Serving(program, http_client(self.host, _URL, from_there=True))
        serving.client.headers["X-Forwarded-Proto"] = "https"
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            with suppress(httpx.HTTPError):
                serving.client.get("/realms/master", timeout=20)
                return serving
            if program.poll() is not None or time.monotonic() > deadline:
                serving.close()
                raise CouldNotVerify("The scratch Keycloak did not start; nothing was shown. Start the drill again.")
            time.sleep(_POLL_SECONDS)


@dataclass(frozen=True)
class Serving:
    """A Keycloak that answers."""

    program: Program
    client: httpx.Client

    def close(self) -> None:
        self.client.close()
        self.program.kill()

    def token(self, realm: str, form: Mapping[str, str]) -> httpx.Response:
        """What it answers to somebody who wants a token of a realm.

        Raises:
            CouldNotVerify: it does not answer.
        """
        try:
            return self.client.post(f"/realms/{realm}/protocol/openid-connect/token", data=dict(form))
        except httpx.HTTPError as error:
            raise CouldNotVerify(
                f"The scratch Keycloak did not answer a login ({type(error).__name__}), so nothing was shown; start again."
            ) from None


@contextmanager
def scratch_keycloak(image: str, owner: str, engine: str = "", users: int = 0) -> Iterator[ScratchKeycloak]:
    """A new, empty Keycloak of this image with memory and patience for so many users; removed at the end.

    Raises:
        CouldNotVerify: the engine does not answer, has no such image, or it could not be prepared.
    """
    try:
        client = engine_client(engine)
    except (DockerException, OSError) as error:
        raise CouldNotVerify(f"No container engine answers for a scratch Keycloak: {_message(error)}") from None
    with closing(client):
        sweep_containers(client)
        try:
            container: Any = client.containers.run(image, **_isolated())
        except (APIError, ImageNotFound, OSError) as error:
            raise CouldNotVerify(f"No scratch Keycloak of {image} could start: {_message(error)}") from None
        host = Container(InContainer(str(container.name)), engine)
        try:
            yield _prepared(host, owner, users)
        finally:
            host.close()
            with suppress(DockerException, OSError):  # no fault of the set; the next drill removes it
                container.remove(force=True, v=True)


def _isolated() -> dict[str, Any]:
    return {
        # Who was killed leaves it with a whole realm in its memory: no longer than this.
        "entrypoint": ["sh", "-c", f"trap 'exit 0' TERM; sleep {_ENDS_SECONDS} & wait"],
        "auto_remove": True,
        "command": [],
        "network_mode": "none",
        "hostname": "localhost",  # without a network no other name has an address
        "detach": True,
        "labels": ours(),
        "tmpfs": {FOLDER: "mode=1777"},
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
    }


def _prepared(host: Host, owner: str, users: int) -> ScratchKeycloak:
    """Which database it uses is built into a Keycloak."""
    done = host.run(("bash", _KC, "build"), env=_environment(), timeout=_BUILD_SECONDS)
    if done.code:
        message = " ".join(done.stdout.decode("utf8", "replace").split())[-300:]
        raise CouldNotVerify(f"The scratch Keycloak could not be built: {message}")
    memory, patience = _MEMORY_MIB + users // _USERS_PER_MIB, _READY_SECONDS + users / _USERS_PER_SECOND
    return ScratchKeycloak(host, Keycloak(host, owner, _KC, memory, patience, _SETTINGS))


def _environment() -> Mapping[str, str | None]:
    return {**_SETTINGS, **environment("scratch", _MEMORY_MIB), "JAVA_OPTS_APPEND": "-XX:TieredStopAtLevel=1"}


def _message(error: Exception) -> str:
    return " ".join(str(getattr(error, "explanation", None) or error).split())[:300]
