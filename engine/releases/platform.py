"""A platform, opened: its host, its folder, its Docker; and what is there now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.compose.containers import Container
from engine.compose.docker import Docker
from engine.config.platforms import PlatformSettings
from engine.hosts.opening import open_host
from engine.hosts.settings import HostSettings
from engine.releases import records
from engine.releases.gateway import LIVE
from engine.releases.plan import World
from engine.releases.site import Site
from engine.releases.staging import Staged, restage


@dataclass(frozen=True)
class Platform:
    """`name` is the configuration's; nothing is connected before it is used."""

    name: str
    site: Site
    docker: Docker

    @property
    def settings(self) -> PlatformSettings:
        return self.site.settings

    def look(self) -> World:
        """What is there now."""
        containers: dict[str, list[Container]] = {}
        for each in self.docker.containers(self.settings.project):
            containers.setdefault(each.service, []).append(each)
        folder = self.site.linked(LIVE).rpartition("/")[2]
        volumes = self.docker.call(("docker", "volume", "ls", "--format", "{{.Name}}")).decode().split()
        return World(containers, records.current(self.site), folder, frozenset(volumes))

    def running(self) -> Staged | None:
        """The release that runs, resolved; None before the first."""
        current = records.current(self.site)
        return restage(self.site, self.docker, current) if current else None


def open_platform(name: str, settings: PlatformSettings, hosts: Mapping[str, HostSettings] | HostSettings) -> Platform:
    """The platform of a configuration; `hosts` is its host, or all of them by name."""
    host = hosts if isinstance(hosts, HostSettings) else hosts.get(settings.runs_on, HostSettings())
    opened = open_host(host)
    return Platform(name, Site(opened, settings), Docker(opened, host.docker_host))
