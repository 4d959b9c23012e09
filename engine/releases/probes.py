"""Ask services whether they are well: a container itself, or nginx before it."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from engine.compose.containers import Container
from engine.compose.docker import Docker
from engine.compose.model import Model, Route, Service, VersionProbe
from engine.errors import OperationFailed
from engine.hosts.ending import is_ending
from engine.hosts.endpoints import Endpoint, Tcp
from engine.nginx.access_log import OUR_AGENT

_SECONDS, _PAUSE_SECONDS, _PATIENCE_SECONDS = 10.0, 0.15, 20.0
SOAK_SECONDS = 1.5
"""How long a new container must stay well before it gets traffic: what dies of its first work dies here."""
_LINES, _SHOWN = 12, 300
_ANOTHER_VERSION = "it says that it is version"
_NOBODY = (0, 503)
"""No answer, and nginx's own word for that."""


@dataclass(frozen=True)
class Answer:
    """What a probe got: a status (0: none) and what it says."""

    status: int
    text: str = ""
    json: Any = None

    @property
    def shown(self) -> str:
        """What it says, for a sentence: no page of HTML."""
        shown = " ".join(self.text.split())
        return f": {shown}" if shown and not shown.startswith("<") else ""


@dataclass(frozen=True)
class Probes:
    """Probes of one platform; `values` are its variables (ports, public name)."""

    docker: Docker
    model: Model
    values: Mapping[str, str]

    def container(self, name: str) -> Container:
        """A container as it is now.

        Raises:
            OperationFailed: it is gone.
        """
        found = self.docker.container(name, self.model.network)
        if found is None:
            raise OperationFailed(f"The container {name} is gone; somebody removed it.")
        return found

    def ask(self, address: str, port: int, path: str) -> Answer:
        """One request to an address of the platform's network."""
        at = self.docker.host.tunnel(Tcp(address, port), from_there=True).at
        return _get(f"http://{at}{path}", {"Host": "localhost"})

    def public(self, path: str) -> Answer:
        """One request as a client of the platform makes it, to the published port."""
        return _get(f"https://{self.public_at()}{path}", {"Host": self.values.get("PUBLIC_HOST", "localhost")})

    def public_at(self) -> Endpoint:
        """Where this machine reaches the published port."""
        bound = self.values.get("BIND_ADDRESS", "")
        address = "127.0.0.1" if bound in ("", "0.0.0.0") else bound  # noqa: S104 - compared, not bound
        return self.docker.host.tunnel(Tcp(address, int(self.values.get("HTTPS_PORT") or "443")), from_there=True).at

    def well(self, service: Service, container: Container, version: str) -> str:
        """Why a running container is not well yet; '' when it is healthy and tells the expected version."""
        rollout = service.rollout
        if container.health == "unhealthy":
            return f"its health check fails: {container.health_output or 'it says nothing'}"
        if rollout.port is None or not rollout.health:
            return "" if container.health in ("healthy", "") else "its health check has not passed"
        answer = self.ask(container.address, rollout.port, rollout.health)
        if answer.status != httpx.codes.OK:
            return f"{rollout.health} answers {answer.status or 'nothing'}{answer.shown}"
        if container.health == "starting" and (shown := self._own_check(service, container)):
            return f"its health check fails: {shown}"
        return self._wrong_version(service, container.address, version)

    def version(self, probe: VersionProbe, address: str, port: int, below: str = "") -> str:
        """The version that is told there; '' where none is."""
        answer = self.ask(address, port, f"{below}{probe.path}")
        return str((answer.json or {}).get(probe.key, "")) if isinstance(answer.json, dict) else ""

    def _wrong_version(self, service: Service, address: str, version: str) -> str:
        rollout = service.rollout
        if rollout.version is None or rollout.port is None or not rollout.reports_version(version):
            return ""
        version_seen = self.version(rollout.version, address, rollout.port)
        if not version_seen:
            return f"{rollout.version.path} tells no {rollout.version.key}"
        return "" if version_seen == version else f"{_ANOTHER_VERSION} {version_seen}, not {version}"

    def _own_check(self, service: Service, container: Container) -> str:
        """Its own health check, now: docker asks only every few seconds."""
        kind, *words = service.definition["healthcheck"]["test"]
        argv = ("sh", "-c", words[0]) if kind == "CMD-SHELL" else tuple(words)
        done = self.docker.tried(("docker", "exec", container.id, *argv))
        shown = (done.stdout.decode("utf8", "replace") + done.stderr).strip()
        return "" if done.code == 0 else (shown or f"it ended with {done.code}")

    def wait_until_well(self, service: Service, name: str, version: str, *, soak: bool = True) -> Container:
        """Wait until a container is well, and stays so for a moment.

        Raises:
            OperationFailed: it is not in time, or it ends; the sentence has its last lines.
        """
        deadline = time.monotonic() + max(service.start_seconds, 20.0)
        first, why, well_since = self.container(name), "it does not answer", 0.0
        while True:
            if is_ending():
                raise OperationFailed(f"{service.name} was not waited for: this run is being ended.")
            now = self.container(name)
            if not now.running or now.restarts > first.restarts:
                raise self.never_well(service, now, f"it ended with {now.exit_code} after its start")
            why = self.well(service, now, version)
            if why and well_since:
                raise self.never_well(service, now, f"it was well and is no more: {why}")
            if not why:
                well_since = well_since or time.monotonic()
                if not soak or time.monotonic() - well_since >= SOAK_SECONDS:
                    return now
            elif why.startswith(_ANOTHER_VERSION) or time.monotonic() > deadline:
                raise self.never_well(service, now, why)
            time.sleep(_PAUSE_SECONDS)

    def never_well(self, service: Service, container: Container, why: str) -> OperationFailed:
        """Why a container cannot serve, with its last lines."""
        lines = [line.strip() for line in self.docker.logs(container.id, _LINES).splitlines() if line.strip()]
        last = " | ".join(lines[-4:])[-500:]
        return OperationFailed(
            f"{service.name} is not well: {self.docker.masked(why)[:_SHOWN]}. Its last lines: {last or '(none)'}"
        )

    def direct(self, service: Service, container: Container) -> None:
        """Ask a new container for what its routes will be asked for.

        Raises:
            OperationFailed: it answers otherwise.
        """
        for path, route in self.routes_of(service.name):
            assert service.rollout.port is not None  # noqa: S101 - a rolling service has one
            answer = self.ask(container.address, service.rollout.port, route.direct)
            if answer.status != route.status:
                why = f"for {path} it answers {route.direct} with {answer.status or 'nothing'}, not {route.status}"
                raise self.never_well(service, container, why)

    def routes_of(self, service: str) -> tuple[tuple[str, Route], ...]:
        return tuple((path, route) for path, route in self.model.routes.items() if route.service == service)

    def smoke(self, known_ill: Collection[str] | None = None) -> list[tuple[str, int, str]]:
        """Every route through nginx: its path, the status, and why that is wrong ('' where it is right).

        One that does not answer at all is asked again for a while: a busy machine is no bad release. Those that are
        known to be ill are asked once.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        once = frozenset(known_ill or ())
        found = []
        for path, route in self.model.routes.items():
            answer = self.public(route.probe)
            while path not in once and answer.status in _NOBODY and time.monotonic() < deadline:
                time.sleep(_PAUSE_SECONDS)
                answer = self.public(route.probe)
            wrong = (
                ""
                if answer.status == route.status
                else f"{route.status} was expected{self.docker.masked(answer.shown)[:_SHOWN]}"
            )
            found.append((path, answer.status, wrong))
        return found


def _get(url: str, headers: Mapping[str, str]) -> Answer:
    # What is asked is the certificate's own server: that its name fits is certificate-renew's business.
    try:
        sent = {**headers, "User-Agent": OUR_AGENT}
        response = httpx.get(url, headers=sent, timeout=_SECONDS, verify=False)  # noqa: S501
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Answer(0, type(error).__name__)
    try:
        found = response.json()
    except ValueError:
        found = None
    return Answer(response.status_code, response.text, found)
