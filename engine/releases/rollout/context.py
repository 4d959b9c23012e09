"""A plan under way: the containers of each service, and who nginx is told of, old and new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.compose.commands import create_argv
from engine.compose.containers import Container
from engine.compose.docker import SLOW_SECONDS, Docker
from engine.errors import ConfigurationError, OperationFailed
from engine.nginx.upstreams import Upstream
from engine.releases.gateway import Gateway
from engine.releases.journal import Journal
from engine.releases.plan import NGINX, Action, Plan
from engine.releases.probes import Probes
from engine.releases.site import Site
from engine.releases.staging import Staged

GRACE_SECONDS = 10.0
"""What a container without a setting of its own gets to stop in order."""


@dataclass
class Context:
    """What the parts of one change share. `notes` is what they have to say to people; `ill_before` are the routes that did
    not answer before anything was done."""

    site: Site
    docker: Docker
    staged: Staged
    before: Staged | None
    journal: Journal
    notes: list[str] = field(default_factory=list)
    smoke: list[tuple[str, int, str]] = field(default_factory=list)
    ill_before: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.model = self.staged.model
        self.probes = Probes(self.docker, self.model, self.staged.values)
        self.gateway = Gateway(self.site, self.probes)
        self.compose = self.site.files(self.staged.release.id)

    @property
    def plan(self) -> Plan:
        return self.journal.plan

    @property
    def rolling(self) -> tuple[str, ...]:
        """The services of which a second container is made beside the old one."""
        return self.plan.of(Action.ROLL)

    @property
    def starting(self) -> tuple[str, ...]:
        """The services whose container is made anew after the old one, if there is one, has stopped."""
        return (*self.plan.of(Action.CREATE), *self.plan.of(Action.REPLACE))

    def version(self, name: str) -> str:
        """The version of a service that the plan leads to."""
        return self.staged.release.services[name].version

    # Containers ---------------------------------------------------------------------------------------------------

    def of(self, name: str) -> list[Container]:
        return [each for each in self.docker.containers(self.model.project, self.model.network) if each.service == name]

    def others(self) -> list[Container]:
        """The containers of the rolling services but the old ones."""
        old = self.journal.old
        found = self.docker.containers(self.model.project, self.model.network)
        return [each for each in found if each.service in self.rolling and each.id != old[each.service]]

    def new(self) -> dict[str, Container]:
        """The new container of each rolling service.

        Raises:
            OperationFailed: one has none, or more than one.
        """
        found = self.others()
        for name in self.rolling:
            if (count := sum(each.service == name for each in found)) != 1:
                raise OperationFailed(
                    f"{name} has {count} new containers, not one; somebody changes them at the same time."
                )
        return {each.service: each for each in found}

    def up(self, staged: Staged, name: str) -> Container:
        """Made by compose and started by docker: compose would wait for what the service depends on, also when that is ill
        and has nothing to do with this change."""
        doubled = [each for each in self.rolling if len(self.of(each)) > 1]
        self.docker.call(create_argv(self.site.files(staged.release.id), [name], doubled), timeout=SLOW_SECONDS)
        found = self.of(name)
        if len(found) != 1:
            raise OperationFailed(f"{name} was not made; look at `docker compose ps` in {self.site.directory}.")
        self.docker.call(("docker", "start", found[0].id))
        return found[0]

    def stop(self, container: Container, grace_seconds: float = GRACE_SECONDS) -> None:
        """End a container in order, and remove it; its volumes stay."""
        argv = ("docker", "stop", "--time", str(int(grace_seconds)), container.id)
        self.docker.call(argv, timeout=grace_seconds + 60)
        self.docker.call(("docker", "rm", "--force", container.id))

    def first(self, name: str) -> str:
        """What compose calls the first container of a service."""
        return f"{self.model.project}-{name}-1"

    def next(self, name: str) -> str:
        return f"{self.model.project}-{name}-next"

    # Upstreams ----------------------------------------------------------------------------------------------------

    def answering(self) -> list[str]:
        return [name for name in self.model.order if name != NGINX and self.model.services[name].rollout.port]

    def port(self, name: str) -> int:
        """Where the service of the release that comes answers."""
        port = self.model.services[name].rollout.port
        if port is None:
            raise ConfigurationError(f"x-rollout says no port of {name}, and nginx is to know one.")
        return port

    def old_port(self, name: str) -> int:
        """Where the one that goes answers."""
        before = self.before.model.services.get(name) if self.before else None
        return before.rollout.port if before and before.rollout.port else self.port(name)

    def steady(self, name: str) -> Upstream:
        """By the service's own name, which one container has while nothing is being changed."""
        return Upstream(name, self.port(name))

    def pinned(self, name: str, container: Container) -> Upstream:
        old = self.old_address(name)
        return Upstream(name, self.port(name), container.address, f"{old}:{self.old_port(name)}" if old else "")

    def pinned_old(self, name: str) -> Upstream:
        return Upstream(name, self.old_port(name), self.old_address(name))

    def old_address(self, name: str) -> str:
        """Where the old container is now: a host that was started anew gives other addresses."""
        old = self.docker.container(self.journal.old[name], self.model.network)
        return old.address if old else ""

    def by_name(self, upstreams: Sequence[Upstream], folder: str) -> None:
        """From addresses back to names, in two steps: right after a reload nginx has not asked for a name yet, and the
        address stands in."""
        first = [
            Upstream(each.service, each.port, instead=each.address and f"{each.address}:{each.port}")
            for each in upstreams
        ]
        self.gateway.switch(first, folder)
        self.gateway.switch([Upstream(each.service, each.port) for each in upstreams], folder)
