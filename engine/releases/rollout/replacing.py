"""Services that bear one writer: the old container stops before the new one is made."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from engine.nginx.upstreams import Upstream
from engine.progress import Progress
from engine.releases.gateway import LIVE
from engine.releases.plan import NGINX, Action
from engine.releases.rollout.context import Context
from engine.releases.rollout.part import Part


@dataclass(frozen=True, slots=True)
class Replacing:
    """What is stopped first, or started for the first time."""

    context: Context

    def part(self, name: str) -> Part:
        """Of a service that is new, or that is stopped first."""
        verb = "start" if name in self.context.plan.of(Action.CREATE) else "replace"
        return Part(f"replace {name}", f"{verb} {name}", partial(self._replace, name), partial(self._put_back, name))

    def removing(self, name: str) -> Part:
        """Of a service that the compose file does not have any more."""
        return Part(f"remove {name}", f"remove {name}", partial(self._remove, name))

    def _replace(self, name: str, progress: Progress) -> None:
        """The old one stops before the new one is made: both may want the same volume, or the same port."""
        service, version = self.context.model.services[name], self.context.version(name)
        for each in self.context.of(name):
            progress(f"{name}: the old one stops")
            self.context.stop(each, service.grace_seconds)
        progress(f"{name} {version} starts")
        container = self.context.up(self.context.staged, name)
        well = self.context.probes.wait_until_well(service, container.id, version, soak=False)
        if name != NGINX and service.rollout.port:
            self._direct_nginx(Upstream(name, service.rollout.port, well.address))

    def _direct_nginx(self, upstream: Upstream) -> None:
        """It has learnt that nobody has the name; and the port may be another, also of an nginx that is started later."""
        self.context.by_name([upstream], self.context.gateway.folder())

    def _remove(self, name: str, progress: Progress) -> None:
        for each in self.context.of(name):
            progress(f"{each.name} goes")
            self.context.stop(each)

    def _put_back(self, name: str, progress: Progress) -> None:
        """The service as the release before has it; without one, what was made goes, and its volumes stay."""
        before = self.context.before
        known = before.release.services.get(name) if before else None
        for each in self.context.of(name):
            if known and each.running and (each.config_hash, each.image_id) == (known.config_hash, known.image_id):
                return  # the old one was not stopped yet
            self.context.stop(each, self.context.model.services[name].grace_seconds)
        if before is None or name not in before.model.services:
            return
        progress(f"{name}: back to {before.release.services[name].version}")
        if name == NGINX:
            self.context.site.link(LIVE, f"releases/{self.context.journal.nginx_before}")
        container = self.context.up(before, name)
        if name != NGINX and before.model.services[name].rollout.port:
            address = self.context.probes.container(container.id).address
            self._direct_nginx(Upstream(name, self.context.old_port(name), address))
