"""Rolling services: a second container beside the old one, nginx led from one to the other, nothing dropped."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from engine.compose.commands import create_argv
from engine.compose.containers import Container
from engine.errors import OperationFailed
from engine.nginx.upstreams import Upstream
from engine.progress import Progress
from engine.releases.plan import OF_EARLIER
from engine.releases.rollout.context import Context
from engine.releases.rollout.part import Part
from engine.releases.staging import nginx_files

_PAUSE_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Rolling:
    """The rolling services of one change."""

    context: Context

    def parts(self, *, switch: bool) -> list[Part]:
        """Up to the moment in which nginx sends requests to the new ones; `switch` where only nginx's files change."""
        names = ", ".join(self.context.rolling)
        found = []
        if names:
            found.append(Part("hold", "hold nginx to the containers that serve", self._hold, self._let_go))
            found.append(Part("start", f"start the new {names} beside the old", self._start, self._remove_new))
        if names or switch:
            found.append(Part("switch", "let nginx send requests to the new release", self._switch, self._switch_back))
        return found

    def watching(self) -> list[Part]:
        """What follows when every route has answered; until it ends the old ones could take over again."""
        watch = Part("watch", "let open requests to the old end, and watch the new", self._drain)
        return [watch] if self.context.rolling else []

    def ending(self) -> list[Part]:
        """What follows when the release was accepted."""
        if not self.context.rolling:
            return []
        retire = Part("retire", f"stop the old {', '.join(self.context.rolling)}", self._retire)
        return [retire, Part("settle", "let nginx know them by name", self._settle)]

    def _hold(self, progress: Progress) -> None:
        """By their addresses: the new ones will be found by the services' names before they get traffic."""
        del progress
        self.context.gateway.switch(
            [self.context.pinned_old(name) for name in self.context.rolling], self.context.gateway.folder()
        )

    def _start(self, progress: Progress) -> None:
        """Second containers, as compose makes them, which nobody finds by the service's name before they are well."""
        names = self.context.rolling
        for each in (other for name in names for other in self.context.others(name)):  # what a killed try left
            self.context.stop(each)
        self.context.docker.call(create_argv(self.context.compose, names, names))
        for name in names:
            new = self.context.new(name)
            self.context.docker.call(("docker", "rename", new.id, self.context.next(name)))
            self._reconnect(new, self.context.next(name))
            self.context.docker.call(("docker", "start", new.id))
            progress(f"{name} {self.context.version(name)} starts as {new.short}")
        with ThreadPoolExecutor(len(names)) as pool:  # each is waited for; the first that is not well is told
            for gate in [pool.submit(self._gate, name, self.context.new(name)) for name in names]:
                gate.result()

    def _gate(self, name: str, container: Container) -> None:
        service, version = self.context.model.services[name], self.context.version(name)
        well = self.context.probes.wait_until_well(service, container.id, version, soak=False)
        self.context.probes.direct(service, well)
        # From here on callers inside find it by the service's name too: it answers, and nobody uses it yet.
        self._reconnect(container, name)
        # What served before a bad release has shown that it stays well, and somebody waits for it.
        soak = self.context.plan.operation not in OF_EARLIER
        self.context.probes.wait_until_well(service, container.id, version, soak=soak)

    def _reconnect(self, container: Container, alias: str) -> None:
        """Give a container that nobody uses another name in the network: docker changes no alias in place."""
        self.context.docker.call(("docker", "network", "disconnect", self.context.model.network, container.id))
        self.context.docker.call(
            ("docker", "network", "connect", "--alias", alias, self.context.model.network, container.id)
        )

    def _switch(self, progress: Progress) -> None:
        upstreams = [self.context.pinned(name, self.context.new(name)) for name in self.context.rolling]
        self.context.gateway.switch(upstreams, self.context.staged.release.nginx_folder)
        for name in self.context.rolling:
            version, told = self.context.version(name), self.context.gateway.told_version(name)
            if self.context.model.services[name].rollout.tells(version) and told != version:
                raise OperationFailed(f"nginx still gets {told or 'no version'} of {name}, not {version}.")
            progress(f"nginx sends requests for {name} to {told or 'the new one'}")

    def _drain(self, progress: Progress) -> None:
        """The old ones stand by while connections to them end; a new one that falls over now is taken out again."""
        names = self.context.rolling
        ports = {address: self.context.old_port(name) for name in names if (address := self.context.old_address(name))}
        cap = max(self.context.model.services[name].grace_seconds for name in names)
        self._wait_for_none(ports, cap, names, progress)

    def _wait_for_none(
        self, ports: Mapping[str, int], cap: float, watched: tuple[str, ...], progress: Progress
    ) -> None:
        began, keepalive = (
            time.monotonic(),
            self.context.gateway.keepalive_seconds(nginx_files(self.context.site, self.context.staged)),
        )
        new = {name: self.context.new(name) for name in watched}
        while True:
            for name, first in new.items():
                now = self.context.probes.container(first.id)
                if not now.running or now.restarts > first.restarts or now.health == "unhealthy":
                    raise self.context.probes.never_well(
                        self.context.model.services[name], now, "it fell over after it got traffic"
                    )
            waited = time.monotonic() - began
            if waited >= keepalive:
                left = self.context.gateway.open_to(ports)
                if not left:
                    return
                if waited > keepalive + cap:
                    self.context.told.append(
                        f"{left} connections to the old containers were still open after {waited:.0f} s and were ended."
                    )
                    return
                progress(f"{left} requests to the old are still open")
            time.sleep(_PAUSE_SECONDS)

    def _retire(self, progress: Progress) -> None:
        for name in self.context.rolling:
            old, service = self.context.journal.old[name], self.context.model.services[name]
            new = self.context.new(name)
            container = self.context.docker.container(old)
            if container is not None:
                self.context.stop(container, service.grace_seconds)
            if new.name != self.context.first(name):
                self.context.docker.call(("docker", "rename", new.id, self.context.first(name)))
            progress(f"the old {name} has stopped")

    def _settle(self, progress: Progress) -> None:
        del progress
        new = [Upstream(name, self.context.port(name), self.context.new(name).address) for name in self.context.rolling]
        self.context.by_name(new, self.context.staged.release.nginx_folder)

    def _switch_back(self, progress: Progress) -> None:
        """nginx as it was, then wait until nothing is open to what goes."""
        names = self.context.rolling
        upstreams = [self.context.pinned_old(name) for name in names]
        if not self.context.journal.nginx_before:
            return
        self.context.gateway.switch(upstreams, self.context.journal.nginx_before)
        new = {
            each.address: self.context.port(name)
            for name in names
            for each in self.context.others(name)
            if each.address and each.running
        }
        if new:
            self._wait_for_none(new, 30.0, (), progress)
        for name in names:
            progress(f"nginx sends requests for {name} to the old one again")

    def _remove_new(self, progress: Progress) -> None:
        for name in self.context.rolling:
            for each in self.context.others(name):
                progress(f"the new {name} goes ({each.short})")
                self.context.stop(each)

    def _let_go(self, progress: Progress) -> None:
        del progress
        old = [self.context.pinned_old(name) for name in self.context.rolling]
        self.context.by_name(old, self.context.journal.nginx_before)
