"""Carry out a plan: the steps, each of which can be done again and undone, and the journal that remembers them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from engine.compose.commands import create_argv, migrate_argv, second_argv
from engine.compose.containers import Container
from engine.compose.docker import SLOW_SECONDS, Docker
from engine.errors import OperationFailed, PlatformOpsError
from engine.nginx.self_signed import self_signed
from engine.nginx.upstreams import FOLDER, SSL_FOLDER, Upstream
from engine.progress import Progress
from engine.releases.gateway import LIVE, Gateway
from engine.releases.journal import ACCEPT, Journal, close_journal, write_journal
from engine.releases.plan import NGINX, Action, Plan
from engine.releases.probes import Probes
from engine.releases.records import Migrated, accept, forget_migrated, give_back, remember
from engine.releases.site import ENV, Site
from engine.releases.staging import Staged, nginx_files, postgres_files

_PAUSE_SECONDS, _GRACE_SECONDS = 0.25, 10.0
_INTO_VOLUME = """set -e; umask 077; cd /ssl; [ ! -s fullchain.pem ] || exit 0; cat >both
sed -n '/BEGIN CERTIFICATE/,/END CERTIFICATE/p' both >fullchain.pem; sed -n '/BEGIN PRIVATE/,/END PRIVATE/p' both >privkey.pem
rm both; chown -R "$1" /ssl; chmod 755 /ssl"""


@dataclass(frozen=True, slots=True)
class Part:
    """A step of a change: what it does, and what takes it back. Either may have been done in part, or already."""

    name: str
    title: str
    do: Callable[[Progress], None]
    undo: Callable[[Progress], None] | None = None


@dataclass
class Rollout:
    """One plan under way. `told` is what the steps have to say to people."""

    site: Site
    docker: Docker
    staged: Staged
    before: Staged | None
    journal: Journal
    afterwards: Sequence[Part] = ()
    told: list[str] = field(default_factory=list)
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

    def parts(self) -> tuple[Part, ...]:
        """The steps in their order; what comes before `accept` is reverted when it fails, what comes after is finished."""
        plan, found = self.plan, [Part("place", "place the files of nginx and PostgreSQL", self._place)]
        rolling = plan.of(Action.ROLL)
        for name in self.model.in_order((*plan.of(Action.CREATE), *plan.of(Action.REPLACE))):
            if name != NGINX:
                found += self._migrating([name])  # after what it needs has started
                found.append(self._replacing(name))
        found += self._migrating(rolling)
        if rolling:
            names = ", ".join(rolling)
            found.append(Part("hold", "hold nginx to the containers that serve", self._hold, self._let_go))
            found.append(Part("start", f"start the new {names} beside the old", self._start, self._remove_new))
        if rolling or plan.nginx:
            found.append(Part("switch", "let nginx send requests to the new release", self._switch, self._switch_back))
        if NGINX in (*plan.of(Action.CREATE), *plan.of(Action.REPLACE)):
            found.append(self._replacing(NGINX))
        found.append(Part("smoke", "ask every route", self._smoke))
        if rolling:
            found.append(Part("watch", "let open requests to the old end, and watch the new", self._drain))
        found.append(Part(ACCEPT, "record the release", self._accept))
        if rolling:
            found.append(Part("retire", f"stop the old {', '.join(rolling)}", self._retire))
            found.append(Part("settle", "let nginx know them by name", self._settle))
        for name in plan.of(Action.REMOVE):
            found.append(Part(f"remove {name}", f"remove {name}", partial(self._remove_service, name)))
        return (*found, *self.afterwards)

    def _migrating(self, names: Sequence[str]) -> list[Part]:
        return [
            Part(
                f"migrate {name}",
                f"migrate the database of {name}",
                partial(self._migrate, name),
                partial(self._end_migration, name),
            )
            for name in names
            if name in self.plan.migrations
        ]

    def begins(self, part: Part) -> None:
        self.journal = self.journal.begins(part.name)
        write_journal(self.site, self.journal)

    def ended(self, part: Part) -> None:
        self.journal = self.journal.ended(part.name)
        write_journal(self.site, self.journal)

    def close(self) -> None:
        """Nothing is left to finish or to revert."""
        close_journal(self.site)

    # What is done -------------------------------------------------------------------------------------------------

    def _place(self, progress: Progress) -> None:
        del progress
        if self.gateway.container() is not None:
            self.ill_before = frozenset(path for path, _, why in self.probes.smoke(self.model.routes) if why)
        upstreams = [self._steady(name) for name in self._answering()]
        self.site.write_tree("run/postgres", postgres_files(self.site, self.staged))
        files = nginx_files(self.site, self.staged)
        self.gateway.keepalive_seconds(files)
        self.gateway.place(self.staged.release.nginx_folder, files, upstreams)
        volumes = {self.site.path("run/nginx"): FOLDER} | self._certificate()
        fresh = NGINX in (*self.plan.of(Action.CREATE), *self.plan.of(Action.REPLACE))
        image = self.model.services[NGINX].image
        self.gateway.require_good(self.staged.release.nginx_folder, image, volumes, fresh=fresh)

    def _migrate(self, name: str, progress: Progress) -> None:
        service = self.model.services[name]
        self._end_migration(name, progress)  # what a killed run left
        once = self._once(name)
        progress(
            f"{' '.join(service.rollout.migrate)} of {self.staged.release.services[name].version or service.image}"
        )
        done = self.docker.tried(migrate_argv(self.compose, name, once, service.rollout.migrate), timeout=SLOW_SECONDS)
        if done.code != 0:
            said = (done.stdout.decode("utf8", "replace") + done.stderr).strip().splitlines()
            last = self.docker.masked(" | ".join(said[-4:]))[-500:]
            raise OperationFailed(
                f"The migration of {name} ended with {done.code}; nothing that runs was changed. It said: {last}"
            )

    def _once(self, name: str) -> str:
        return f"{self.model.project}-{name}-migration"

    def _end_migration(self, name: str, progress: Progress) -> None:
        """A migration whose run was killed goes on in the engine: it ends before anything else is done."""
        del progress
        self.docker.tried(("docker", "rm", "--force", self._once(name)))

    def remember_migrations(self) -> None:
        """A migration that ran for a release which did not come to be: the sets before it are those to go back to."""
        ran = tuple(each.partition(" ")[2] for each in self.journal.begun if each.startswith("migrate "))
        if ran:
            breaking = tuple(name for name in ran if name in self.plan.breaking)
            remember(self.site, Migrated(services=ran, breaking=breaking, backups=self.staged.release.backups))

    def tell_of_migrations(self, error: BaseException) -> None:
        """Say with the failure that the databases are migrated already.

        Raises:
            OperationFailed: the same failure, and that.
        """
        ran = [each.partition(" ")[2] for each in self.journal.done if each.startswith("migrate ")]
        if ran and isinstance(error, PlatformOpsError):
            way = (
                "platformctl rollback-db brings back the one before." if self.staged.release.backups else "it stays so."
            )
            raise OperationFailed(
                f"{error} The migration of {', '.join(ran)} had run: the old version serves, with the migrated database; {way}"
            ) from None

    def _replacing(self, name: str) -> Part:
        verb = "start" if name in self.plan.of(Action.CREATE) else "replace"
        return Part(f"replace {name}", f"{verb} {name}", partial(self._replace, name), partial(self._put_back, name))

    def _replace(self, name: str, progress: Progress) -> None:
        """The old one stops before the new one is made: both may want the same volume, or the same port."""
        service, version = self.model.services[name], self.staged.release.services[name].version
        for each in self._of(name):
            progress(f"{name}: the old one stops")
            self._stop(each, service.grace_seconds)
        progress(f"{name} {version} starts")
        container = self._up(self.staged, name)
        well = self.probes.wait_until_well(service, container.id, version, soak=False)
        if name != NGINX and service.rollout.port and self.gateway.container() is not None:
            self._by_name({name: well.address}, self.gateway.folder())  # nginx has learnt that nobody has the name

    def _up(self, staged: Staged, name: str) -> Container:
        """Made by compose and started by docker: compose would wait for what the service depends on, also when that is ill
        and has nothing to do with this change."""
        doubled = [each for each in self.plan.of(Action.ROLL) if len(self._of(each)) > 1]
        self.docker.call(create_argv(self.site.files(staged.release.id), name, doubled), timeout=SLOW_SECONDS)
        found = self._of(name)
        if len(found) != 1:
            raise OperationFailed(f"{name} was not made; look at `docker compose ps` in {self.site.directory}.")
        self.docker.call(("docker", "start", found[0].id))
        return found[0]

    def _hold(self, progress: Progress) -> None:
        """By their addresses: the new ones will be found by the services' names before they get traffic."""
        del progress
        self.gateway.switch([self._pinned_old(name) for name in self.plan.of(Action.ROLL)], self.gateway.folder())

    def _start(self, progress: Progress) -> None:
        """Second containers, as compose makes them, which nobody finds by the service's name before they are well."""
        names = self.plan.of(Action.ROLL)
        for each in (other for name in names for other in self._others(name)):  # what a killed try left
            self._stop(each)
        self.docker.call(second_argv(self.compose, names))
        for name in names:
            new = self._new(name)
            self.docker.call(("docker", "rename", new.id, self._next(name)))
            self._reconnect(new, self._next(name))
            self.docker.call(("docker", "start", new.id))
            progress(f"{name} {self.staged.release.services[name].version} starts as {new.short}")
        with ThreadPoolExecutor(len(names)) as pool:  # each is waited for; the first that is not well is told
            for gate in [pool.submit(self._gate, name, self._new(name)) for name in names]:
                gate.result()

    def _gate(self, name: str, container: Container) -> None:
        service, version = self.model.services[name], self.staged.release.services[name].version
        well = self.probes.wait_until_well(service, container.id, version, soak=False)
        self.probes.direct(service, well)
        # From here on callers inside find it by the service's name too: it answers, and nobody uses it yet.
        self._reconnect(container, name)
        self.probes.wait_until_well(service, container.id, version)

    def _reconnect(self, container: Container, alias: str) -> None:
        """Give a container that nobody uses another name in the network: docker changes no alias in place."""
        self.docker.call(("docker", "network", "disconnect", self.model.network, container.id))
        self.docker.call(("docker", "network", "connect", "--alias", alias, self.model.network, container.id))

    def _switch(self, progress: Progress) -> None:
        upstreams = [self._pinned(name, self._new(name)) for name in self.plan.of(Action.ROLL)]
        self.gateway.switch(upstreams, self.staged.release.nginx_folder)
        for name in self.plan.of(Action.ROLL):
            version, told = self.staged.release.services[name].version, self.gateway.told_version(name)
            if told and version and told != version:
                raise OperationFailed(f"nginx still gets version {told} of {name}, not {version}.")
            progress(f"nginx sends requests for {name} to {told or 'the new one'}")

    def _smoke(self, progress: Progress) -> None:
        self.smoke = self.probes.smoke(self.ill_before)
        wrong = {path: f"{path} answers {status or 'nothing'}: {why}" for path, status, why in self.smoke if why}
        if new := [said for path, said in wrong.items() if not self._was_ill(path)]:
            raise OperationFailed(f"The smoke test failed: {'; '.join(new)}")
        self.told += [f"It was so before this change already: {said}" for said in wrong.values()]
        progress(f"{len(self.smoke)} routes answer")

    def _was_ill(self, path: str) -> bool:
        """What was ill before, and is of a service that does not change, keeps no release from coming, and no rollback."""
        changing = {each.service for each in self.plan.changing}
        return path in self.ill_before and self.model.routes[path].service not in changing

    def _drain(self, progress: Progress) -> None:
        """The old ones stand by while connections to them end; a new one that falls over now is taken out again."""
        names = self.plan.of(Action.ROLL)
        ports = {address: self._port(name) for name in names if (address := self._old_address(name))}
        cap = max(self.model.services[name].grace_seconds for name in names)
        self._wait_for_none(ports, cap, names, progress)

    def _wait_for_none(
        self, ports: Mapping[str, int], cap: float, watched: tuple[str, ...], progress: Progress
    ) -> None:
        began, keepalive = time.monotonic(), self.gateway.keepalive_seconds(nginx_files(self.site, self.staged))
        new = {name: self._new(name) for name in watched}
        while True:
            for name, first in new.items():
                now = self.probes.container(first.id)
                if not now.running or now.restarts > first.restarts or now.health == "unhealthy":
                    raise self.probes.never_well(self.model.services[name], now, "it fell over after it got traffic")
            waited = time.monotonic() - began
            if waited >= keepalive:
                left = self.gateway.open_to(ports)
                if not left:
                    return
                if waited > keepalive + cap:
                    self.told.append(
                        f"{left} connections to the old containers were still open after {waited:.0f} s and were ended."
                    )
                    return
                progress(f"{left} requests to the old are still open")
            time.sleep(_PAUSE_SECONDS)

    def _accept(self, progress: Progress) -> None:
        del progress
        accept(self.site, self.staged.release)
        forget_migrated(self.site)
        env = self.site.must_read(self.site.release(self.staged.release.id, ENV))
        files = self.compose.files
        named = f"COMPOSE_PROJECT_NAME={self.compose.project}\nCOMPOSE_FILE={':'.join(files)}\n"
        self.site.write(ENV, env + named.encode())

    def _retire(self, progress: Progress) -> None:
        for name in self.plan.of(Action.ROLL):
            old, service = self.journal.old[name], self.model.services[name]
            new = self._new(name)
            container = self.docker.container(old.id)
            if container is not None:
                self._stop(container, service.grace_seconds)
            if new.name != self._first(name):
                self.docker.call(("docker", "rename", new.id, self._first(name)))
            progress(f"the old {name} has stopped")

    def _settle(self, progress: Progress) -> None:
        del progress
        addresses = {name: self._new(name).address for name in self.plan.of(Action.ROLL)}
        self._by_name(addresses, self.staged.release.nginx_folder)

    def _by_name(self, addresses: Mapping[str, str], folder: str) -> None:
        """In two steps: right after a reload nginx has not asked for the names yet, and an address stands in."""
        found = addresses.items()
        self.gateway.switch([Upstream(name, self._port(name), instead=address) for name, address in found], folder)
        self.gateway.switch([self._steady(name) for name in addresses], folder)

    def _remove_service(self, name: str, progress: Progress) -> None:
        for each in self._of(name):
            progress(f"{each.name} goes")
            self._stop(each, _GRACE_SECONDS)

    # What takes it back -------------------------------------------------------------------------------------------

    def _put_back(self, name: str, progress: Progress) -> None:
        """The service as the release before has it; without one, what was made goes, and its volumes stay."""
        for each in self._of(name):
            self._stop(each)
        if self.before is None or name not in self.before.model.services:
            return
        progress(f"{name}: back to {self.before.release.services[name].version}")
        if name == NGINX:
            self.site.link(LIVE, f"releases/{self.journal.nginx_before}")
        self._up(self.before, name)

    def _switch_back(self, progress: Progress) -> None:
        """nginx as it was, then wait until nothing is open to what goes."""
        names = self.plan.of(Action.ROLL)
        upstreams = [self._pinned_old(name) for name in names]
        if not self.journal.nginx_before:
            return
        self.gateway.switch(upstreams, self.journal.nginx_before)
        new = {
            each.address: self._port(name)
            for name in names
            for each in self._others(name)
            if each.address and each.running
        }
        if new:
            self._wait_for_none(new, 30.0, (), progress)
        for name in names:
            progress(f"nginx sends requests for {name} to the old one again")

    def _remove_new(self, progress: Progress) -> None:
        for name in self.plan.of(Action.ROLL):
            for each in self._others(name):
                progress(f"the new {name} goes ({each.short})")
                self._stop(each)

    def _let_go(self, progress: Progress) -> None:
        del progress
        addresses = {name: self._old_address(name) for name in self.plan.of(Action.ROLL)}
        self._by_name(addresses, self.journal.nginx_before)

    def revoke(self) -> None:
        """The files of a release that did not come to be."""
        give_back(self.site, self.staged.release.id)

    # What is there ------------------------------------------------------------------------------------------------

    def _of(self, name: str) -> list[Container]:
        return [each for each in self.docker.containers(self.model.project, self.model.network) if each.service == name]

    def _others(self, name: str) -> list[Container]:
        """The containers of a rolling service but the old one."""
        return [each for each in self._of(name) if each.id != self.journal.old[name].id]

    def _new(self, name: str) -> Container:
        found = self._others(name)
        if len(found) != 1:
            raise OperationFailed(
                f"{name} has {len(found)} new containers, not one; somebody changes them at the same time."
            )
        return found[0]

    def _stop(self, container: Container, grace_seconds: float = _GRACE_SECONDS) -> None:
        """End a container in order, and remove it; its volumes stay."""
        argv = ("docker", "stop", "--time", str(int(grace_seconds)), container.id)
        self.docker.call(argv, timeout=grace_seconds + 60)
        self.docker.call(("docker", "rm", "--force", container.id))

    def _answering(self) -> list[str]:
        return [name for name in self.model.order if name != NGINX and self.model.services[name].rollout.port]

    def _port(self, name: str) -> int:
        port = self.model.services[name].rollout.port
        assert port is not None  # noqa: S101 - a rolling service has one
        return port

    def _first(self, name: str) -> str:
        """What compose calls the first container of a service."""
        return f"{self.model.project}-{name}-1"

    def _next(self, name: str) -> str:
        return f"{self.model.project}-{name}-next"

    def _steady(self, name: str) -> Upstream:
        """By the service's own name, which one container has while nothing is being changed."""
        return Upstream(name, self._port(name))

    def _pinned(self, name: str, container: Container) -> Upstream:
        return Upstream(name, self._port(name), address=container.address, instead=self._old_address(name))

    def _pinned_old(self, name: str) -> Upstream:
        address = self._old_address(name)
        return Upstream(name, self._port(name), address=address) if address else self._steady(name)

    def _old_address(self, name: str) -> str:
        """Where the old container is now: a host that was started anew gives other addresses."""
        old = self.docker.container(self.journal.old[name].id, self.model.network)
        return old.address if old else ""

    def _certificate(self) -> dict[str, str]:
        """Where nginx finds its certificate, by volume; it cannot start without one. What is in the volume already stays."""
        service = self.model.services[NGINX]
        mounted = (each for each in service.definition.get("volumes", ()) if each["target"] == SSL_FOLDER)
        volume = next(
            (self.model.volumes[each["source"]] for each in mounted if each["source"] in self.model.volumes), None
        )
        if volume is None:
            return {}
        argv = ("up", "--no-start", "--no-deps", "--no-recreate", "--pull", "never", NGINX)
        if not self._of(NGINX):
            self.docker.call((*self.compose.argv, *argv))  # so that the volume is compose's own
        certificate, key = self_signed(self.staged.values.get("PUBLIC_HOST", "localhost"))
        user = str(service.definition.get("user", "0"))
        run = ("docker", "run", "--rm", "--interactive", "--network", "none", "--user", "0", "--entrypoint", "sh")
        mount = ("--volume", f"{volume}:/ssl", service.image, "-c", _INTO_VOLUME, "sh", user)
        self.docker.call((*run, *mount), stdin=certificate + key)
        return {volume: SSL_FOLDER}
