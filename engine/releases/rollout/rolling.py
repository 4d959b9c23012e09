"""Rolling services: a second container beside the old one, nginx led from one to the other, nothing dropped."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
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
_WATCH_SECONDS, _LET_GO_SECONDS = 5.0, 1.0
"""How long a new container is watched under traffic at least; and what nginx's master takes at most to dismiss workers."""


@dataclass(frozen=True, slots=True)
class Rolling:
    """The rolling services of one change."""

    context: Context

    def parts(self, *, switch: bool) -> list[Part]:
        """Up to the moment in which nginx sends requests to the new ones; `switch` where only nginx's files change."""
        names = ", ".join(self.context.rolling)
        found = []
        if names:
            found.append(Part("start", f"start the new {names} beside the old", self._start, self._remove_new))
            found.append(Part("hold", "hold nginx to the containers that serve", self._hold, self._let_go))
            found.append(Part("await", f"wait until the new {names} are well", self._await, self._remove_new))
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
        """By their addresses, while the new ones start: they will be found by the services' names before they get traffic."""
        del progress
        self.context.gateway.switch(
            [self.context.pinned_old(name) for name in self.context.rolling], self.context.gateway.folder()
        )

    def _start(self, progress: Progress) -> None:
        """Second containers, as compose makes them, which nobody finds by the service's name before they are well."""
        names = self.context.rolling
        for each in self.context.others():  # what a killed try left
            self.context.stop(each)
        self.context.docker.call(create_argv(self.context.compose, names, names))
        self._with_each_new(self._start_one)
        for name, new in self.context.new().items():
            progress(f"{name} {self.context.version(name)} starts as {new.short}")

    def _start_one(self, name: str, new: Container) -> None:
        self.context.docker.call(("docker", "rename", new.id, self.context.next(name)))
        self._reconnect(new, self.context.next(name))
        self.context.docker.call(("docker", "start", new.id))

    def _with_each_new(self, work: Callable[[str, Container], None]) -> None:
        """At the same time; every one is waited for, then the first that failed is told."""
        new = self.context.new()
        with ThreadPoolExecutor(len(new)) as pool:
            for done in [pool.submit(work, *each) for each in new.items()]:
                done.result()

    def _await(self, progress: Progress) -> None:
        del progress
        self._with_each_new(self._await_one)

    def _await_one(self, name: str, container: Container) -> None:
        service, version = self.context.model.services[name], self.context.version(name)
        well = self.context.probes.wait_until_well(service, container.id, version, soak=False)
        self.context.probes.direct(service, well)
        # From here on callers inside find it by the service's name too: it answers, and nobody uses it yet.
        self._reconnect(container, name)
        self.context.probes.wait_until_well(service, container.id, version, soak=not self._earlier)

    def _reconnect(self, container: Container, alias: str) -> None:
        """Give a container that nobody uses another name in the network: docker changes no alias in place."""
        self.context.docker.call(("docker", "network", "disconnect", self.context.model.network, container.id))
        self.context.docker.call(
            ("docker", "network", "connect", "--alias", alias, self.context.model.network, container.id)
        )

    def _switch(self, progress: Progress) -> None:
        upstreams = [self.context.pinned(name, new) for name, new in self.context.new().items()]
        self.context.gateway.switch(upstreams, self.context.staged.release.nginx_folder)
        for name, seen in self.context.gateway.versions_seen(self.context.rolling).items():
            version = self.context.version(name)
            if self.context.model.services[name].rollout.reports_version(version) and seen != version:
                raise OperationFailed(f"nginx still gets {seen or 'no version'} of {name}, not {version}.")
            progress(f"nginx sends requests for {name} to {seen or 'the new one'}")

    def _drain(self, progress: Progress) -> None:
        """The old ones stand by while connections to them end; a new one that falls over now is taken out again."""
        names = self.context.rolling
        ports = {address: self.context.old_port(name) for name in names if (address := self.context.old_address(name))}
        cap = max(self.context.model.services[name].grace_seconds for name in names)
        least = _LET_GO_SECONDS if self._earlier else _WATCH_SECONDS
        self._wait_for_none(ports, least, cap, self.context.new(), progress)

    @property
    def _earlier(self) -> bool:
        """What served before a bad release has shown that it stays well, and somebody waits for it."""
        return self.context.plan.operation in OF_EARLIER

    def _wait_for_none(
        self, ports: Mapping[str, int], least: float, cap: float, new: Mapping[str, Container], progress: Progress
    ) -> None:
        """Until nothing leads there any more. As long as a worker of before is there, a client may send the next request
        on its connection, for keepalive_min_timeout; what is open then gets `cap` seconds more."""
        files = nginx_files(self.context.site, self.context.staged)
        began, keepalive = time.monotonic(), self.context.gateway.keepalive_seconds(files)
        while True:
            for name, first in new.items():
                now = self.context.probes.container(first.id)
                if not now.running or now.restarts > first.restarts or now.health == "unhealthy":
                    raise self.context.probes.never_well(
                        self.context.model.services[name], now, "it fell over after it got traffic"
                    )
            waited = time.monotonic() - began
            if waited >= keepalive or (waited >= least and not self.context.gateway.has_old_workers()):
                left = self.context.gateway.open_to(ports)
                if not left:
                    return
                if waited > keepalive + cap:
                    self.context.notes.append(
                        f"{left} connections to the old containers were still open after {waited:.0f} s and were ended."
                    )
                    return
                progress(f"{left} requests to the old are still open")
            time.sleep(_PAUSE_SECONDS)

    def _retire(self, progress: Progress) -> None:
        for name, new in self.context.new().items():
            old, service = self.context.journal.old[name], self.context.model.services[name]
            container = self.context.docker.container(old)
            if container is not None:
                self.context.stop(container, service.grace_seconds)
            if new.name != self.context.first(name):
                self.context.docker.call(("docker", "rename", new.id, self.context.first(name)))
            progress(f"the old {name} has stopped")

    def _settle(self, progress: Progress) -> None:
        del progress
        new = [Upstream(name, self.context.port(name), each.address) for name, each in self.context.new().items()]
        self.context.by_name(new, self.context.staged.release.nginx_folder)

    def _switch_back(self, progress: Progress) -> None:
        """nginx as it was, then wait until nothing is open to what goes."""
        names = self.context.rolling
        upstreams = [self.context.pinned_old(name) for name in names]
        if not self.context.journal.nginx_before:
            return
        self.context.gateway.switch(upstreams, self.context.journal.nginx_before)
        new = {
            each.address: self.context.port(each.service)
            for each in self.context.others()
            if each.address and each.running
        }
        if new:
            self._wait_for_none(new, _LET_GO_SECONDS, 30.0, {}, progress)
        for name in names:
            progress(f"nginx sends requests for {name} to the old one again")

    def _remove_new(self, progress: Progress) -> None:
        for each in self.context.others():
            progress(f"the new {each.service} goes ({each.short})")
            self.context.stop(each)

    def _let_go(self, progress: Progress) -> None:
        del progress
        old = [self.context.pinned_old(name) for name in self.context.rolling]
        self.context.by_name(old, self.context.journal.nginx_before)
