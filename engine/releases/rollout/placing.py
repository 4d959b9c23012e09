"""The files of nginx and PostgreSQL, and nginx's certificate, before anything reads them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from engine.errors import ConfigurationError
from engine.nginx.self_signed import monitor_of, self_signed
from engine.nginx.upstreams import FOLDER, SSL_FOLDER
from engine.progress import Progress
from engine.releases.certificate_volume import certificate_volume
from engine.releases.plan import NGINX, Action
from engine.releases.rollout.context import Context
from engine.releases.rollout.part import Part
from engine.releases.staging import nginx_files, postgres_files


@dataclass(frozen=True, slots=True)
class Placing:
    """What lies ready before a change."""

    context: Context

    def part(self) -> Part:
        return Part("place", "place the files of nginx and PostgreSQL", self._place, self._take_back)

    def _place(self, progress: Progress) -> None:
        del progress
        if self.context.gateway.container() is not None:
            self.context.ill_before = frozenset(
                path for path, _, why in self.context.probes.smoke(self.context.model.routes) if why
            )
        upstreams = [self.context.steady(name) for name in self.context.answering()]
        self.context.site.remove("run/postgres")  # with scripts that are there no more
        self.context.site.write_tree("run/postgres", postgres_files(self.context.site, self.context.staged))
        files = nginx_files(self.context.site, self.context.staged)
        self.context.gateway.keepalive_seconds(files)
        self.context.gateway.place(self.context.staged.release.nginx_folder, files, upstreams)
        volumes = {self.context.site.path("run/nginx"): FOLDER} | self._certificate()
        fresh = NGINX in self.context.starting
        image = self.context.model.services[NGINX].image
        self.context.gateway.require_good(self.context.staged.release.nginx_folder, image, volumes, fresh=fresh)

    def _take_back(self, progress: Progress) -> None:
        """The files stay until they are pruned; nginx's container that was only made for its volume goes."""
        del progress
        if NGINX in self.context.plan.of(Action.CREATE):
            for each in self.context.of(NGINX):
                if not each.running:
                    self.context.stop(each)

    def _certificate(self) -> dict[str, str]:
        """Where nginx finds its certificate, by volume; it cannot start without one. What is in the volume already stays."""
        volume = certificate_volume(self.context.docker, self.context.model)
        if volume is None or (NGINX not in self.context.starting and self.context.gateway.container() is not None):
            return {}  # nginx runs, so it has one
        argv = ("up", "--no-start", "--no-deps", "--no-recreate", "--pull", "never", NGINX)
        if not self.context.of(NGINX):
            self.context.docker.call((*self.context.compose.argv, *argv))  # so that the volume is compose's own
        held = volume.read()
        if held is None or not held.key:
            identity = f"first-{secrets.token_hex(3)}"
            volume.place(identity, *self._self_signed())
            volume.switch(identity)
        return {volume.volume: SSL_FOLDER}

    def _self_signed(self) -> tuple[bytes, bytes]:
        """One for the platform's own name.

        Raises:
            ConfigurationError: no certificate can be for that.
        """
        host = self.context.staged.values.get("PUBLIC_HOST") or "localhost"
        try:
            return self_signed((host, *monitor_of(host)))
        except ValueError:
            raise ConfigurationError(
                f"PUBLIC_HOST is {host[:100]!r}, which no certificate can be for; give a host name in plain letters (xn--... for "
                "others) or an address."
            ) from None
