"""What a platform is doing: which versions run since when, whether every probe is well; start and stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from engine.compose.commands import create_argv
from engine.compose.containers import Container
from engine.compose.docker import SLOW_SECONDS
from engine.errors import ConfigurationError, OperationFailed, PlatformOpsError
from engine.progress import Progress
from engine.releases import records
from engine.releases.journal import read_journal
from engine.releases.lock import held
from engine.releases.platform import Platform
from engine.releases.probes import Probes
from engine.releases.release import Release
from engine.releases.staging import Staged
from engine.steps import Step, Steps


@dataclass(frozen=True)
class ServiceState:
    """One service: its container, and what the release says of it."""

    service: str
    container: Container | None
    version: str
    digest: str
    well: str
    """'' when it is; else why not."""


@dataclass(frozen=True)
class PlatformState:
    """`routes` are the answers of every route; empty where they were not asked."""

    platform: str
    release: Release | None
    services: tuple[ServiceState, ...]
    routes: tuple[tuple[str, int, str], ...] = ()
    cut_off: str = ""

    @property
    def problem(self) -> PlatformOpsError | None:
        """What is not well; None when all is."""
        ill = [f"{each.service}: {each.well}" for each in self.services if each.well]
        ill += [f"{path}: {wrong}" for path, _, wrong in self.routes if wrong]
        if self.cut_off:
            ill.append(self.cut_off)
        return OperationFailed(f"{self.platform} is not well: {'; '.join(ill)}") if ill else None


def look(platform: Platform, *, probe: bool) -> PlatformState:
    """What runs; with `probe` every service and every route is asked.

    Raises:
        ConfigurationError: nothing was deployed yet.
        PlatformOpsError: the host or its Docker do not answer.
    """
    staged = _running(platform)
    probes = Probes(platform.docker, staged.model, staged.values)
    found: dict[str, Container] = {}
    for each in platform.docker.containers(staged.model.project, staged.model.network):
        found[each.service] = each
    services = tuple(_state(name, found.get(name), staged, probes, probe=probe) for name in staged.model.order)
    journal = read_journal(platform.site)
    cut_off = f"the {journal.plan.operation} of {journal.owner} is going on, or was cut off" if journal else ""
    return PlatformState(platform.name, staged.release, services, tuple(probes.smoke()) if probe else (), cut_off)


def start(platform: Platform, owner: str, services: Sequence[str], steps: Steps) -> None:
    """Start the platform in dependency order, or some services of it, and wait until each is well."""
    _each(platform, owner, services, steps, "start", start_service, backwards=False)


def stop(platform: Platform, owner: str, services: Sequence[str], confirmed: str, steps: Steps) -> None:
    """Stop the platform in the opposite order, or some services; containers and volumes stay.

    Raises:
        ConfigurationError: all of a platform whose changes need approval is to be stopped, and its name was not repeated.
    """
    if not services and platform.settings.needs_approval and confirmed != platform.name:
        raise ConfigurationError(
            f"This stops every service of {platform.name}: repeat its name to confirm that, or name the services to stop."
        )
    _each(platform, owner, services, steps, "stop", stop_service, backwards=True)


def require_known(staged: Staged, services: Sequence[str]) -> tuple[str, ...]:
    """The services in dependency order; all of them when none is named.

    Raises:
        ConfigurationError: there is none of that name.
    """
    if unknown := sorted(set(services) - staged.model.services.keys()):
        raise ConfigurationError(
            f"There is no service {unknown[0][:60]!r}; there are: {', '.join(staged.model.order)}."
        )
    return staged.model.in_order(services or staged.model.order)


def logs(platform: Platform, service: str, lines: int, *, follow: bool = False) -> Iterator[str]:
    """The last lines of a service, without any of the platform's secrets; with `follow` until it ends.

    Raises:
        ConfigurationError: there is no such service.
    """
    staged = _running(platform)
    require_known(staged, [service])
    found = _of(platform, staged, service)
    if not found:
        raise OperationFailed(f"{service} has no container; `platformctl start {service}` makes one.")
    if not follow:
        yield from platform.docker.logs(found[0].id, lines).splitlines(keepends=True)
        return
    argv = ("sh", "-c", 'exec docker logs --follow --tail "$1" "$2" 2>&1', "sh", str(lines), found[0].id)
    program = platform.docker.host.stream(argv, env=platform.docker.environment)
    try:
        rest = b""
        while program.stdout is not None and (piece := program.stdout.read(65536)):
            *whole, rest = (rest + piece).split(b"\n")
            yield from (platform.docker.masked(line.decode("utf8", "replace")) + "\n" for line in whole)
        if rest:
            yield platform.docker.masked(rest.decode("utf8", "replace"))
    finally:
        program.kill()
        program.wait()
        for stream in (program.stdout, program.stderr):
            if stream is not None:
                stream.close()


_Doing = Callable[[Platform, Staged, str, Progress], None]


def _each(
    platform: Platform, owner: str, services: Sequence[str], steps: Steps, verb: str, work: _Doing, *, backwards: bool
) -> None:
    with held(platform.site, owner) as lease:
        if read_journal(platform.site):
            raise OperationFailed(
                "A change of this platform was cut off; `platformctl resume` finishes or reverts it first."
            )
        if verb == "start":
            records.require_databases_whole(platform.site)
        staged = _running(platform)
        names = require_known(staged, services)
        for name in reversed(names) if backwards else names:
            lease.require()
            steps.run(Step(f"{verb} {name}", partial(work, platform, staged, name)))


def _running(platform: Platform) -> Staged:
    staged = platform.running()
    if staged is None:
        raise ConfigurationError(f"Nothing was deployed to {platform.name} yet; `platformctl deploy` does that.")
    return staged


def start_service(platform: Platform, staged: Staged, name: str, progress: Progress) -> None:
    """Start one service and wait until it is well; the caller holds the lock.

    Raises:
        OperationFailed: it is not well.
    """
    platform.docker.call(create_argv(platform.site.files(staged.release.id), [name]), timeout=SLOW_SECONDS)
    probes = Probes(platform.docker, staged.model, staged.values)
    found = _of(platform, staged, name)
    if len(found) != 1:
        raise OperationFailed(f"{name} has {len(found)} containers; keep one (docker rm), then start it again.")
    container = found[0]
    platform.docker.call(("docker", "start", container.id))
    version = staged.release.services[name].version
    probes.wait_until_well(staged.model.services[name], container.id, version, soak=False)
    progress(f"{name} is well")


def stop_service(platform: Platform, staged: Staged, name: str, progress: Progress) -> None:
    """Stop one service in order; its container stays. The caller holds the lock."""
    seconds, began = staged.model.services[name].grace_seconds, time.monotonic()
    for each in _of(platform, staged, name):
        argv = ("docker", "stop", "--time", str(int(seconds)), each.id)
        platform.docker.call(argv, timeout=seconds + 60)
        progress(f"{each.name} stopped in {time.monotonic() - began:.1f} s")


def _of(platform: Platform, staged: Staged, name: str) -> list[Container]:
    found = platform.docker.containers(staged.model.project, staged.model.network)
    return [each for each in found if each.service == name]


def _state(name: str, container: Container | None, staged: Staged, probes: Probes, *, probe: bool) -> ServiceState:
    service, known = staged.model.services[name], staged.release.services[name]
    if container is None or not container.running:
        why = "it does not run" if container is None else f"it ended with {container.exit_code}"
    elif probe:
        why = probes.docker.masked(probes.well(service, container, known.version))
    else:
        why = "its health check fails" if container.health == "unhealthy" else ""
    if container is not None and not why and container.image_id != known.image_id:
        why = "it is not the image of the release; somebody changed it by hand"
    return ServiceState(name, container, known.version, known.digest or known.image_id, why)
