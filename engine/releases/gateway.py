"""The platform's nginx: what it reads, whether that is good, and when it has taken it over."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from engine.compose.containers import Container, moment
from engine.errors import ConfigurationError, OperationFailed
from engine.hosts.base import Completed
from engine.nginx.access_log import is_lost
from engine.nginx.connections import established_to
from engine.nginx.upstreams import FOLDER, GENERATION, Upstream, generation_text
from engine.releases.plan import NGINX
from engine.releases.probes import Probes
from engine.releases.site import Site

_ROOM = "run/nginx"
UPSTREAMS, LIVE, FILES = f"{_ROOM}/upstreams", f"{_ROOM}/live", f"{_ROOM}/releases"
_INNER_PORT = 8081
LEAST_VERSION = (1, 27, 4)
"""The first that has keepalive_min_timeout (CHANGES of nginx 1.27.4)."""
_KEEPALIVE = re.compile(rb"^\s*keepalive_min_timeout\s+(\d+)s;", re.MULTILINE)
_SHUTTING_DOWN = b"worker process is shutting down"
_RELOAD_SECONDS, _SOON_SECONDS, _TIMES = 15.0, 2.0, 3


@dataclass(frozen=True)
class Gateway:
    """nginx of one platform."""

    site: Site
    probes: Probes

    def place(self, folder: str, files: Mapping[str, bytes], upstreams: Sequence[Upstream]) -> None:
        """Put a release's files beside the live ones; a first start also gets who answers for each service."""
        self.site.make_folders(_ROOM, FILES, UPSTREAMS, f"{_ROOM}/acme", mode="0755")
        self.site.write_tree(f"{FILES}/{folder}", files)
        there = self.site.names(UPSTREAMS)
        for upstream in upstreams:
            if upstream.file not in there:
                self.site.write(f"{UPSTREAMS}/{upstream.file}", upstream.text().encode(), mode=0o644)
        if GENERATION not in there:
            self.site.write(f"{UPSTREAMS}/{GENERATION}", generation_text("first").encode(), mode=0o644)
        if not self.site.linked(LIVE):
            self.site.link(LIVE, f"releases/{folder}")

    def keepalive_seconds(self, files: Mapping[str, bytes]) -> float:
        """How long a client may go on using a connection after a reload: keepalive_min_timeout of nginx.conf.

        Raises:
            ConfigurationError: it is not set: a reload would close connections that clients are about to use.
        """
        found = _KEEPALIVE.search(files.get("nginx.conf", b""))
        if found is None:
            raise ConfigurationError(
                "nginx/nginx.conf sets no keepalive_min_timeout (10s); a reload would lose requests."
            )
        return float(found[1])

    def folder(self) -> str:
        """The name of the folder that nginx reads; '' before the first start."""
        return self.site.linked(LIVE).rpartition("/")[2]

    def require_good(self, folder: str, image: str, volumes: Mapping[str, str], *, fresh: bool) -> None:
        """Try a release's files, in the running nginx without it noticing, or with `fresh` in a container of the image
        that is to be started.

        Raises:
            ConfigurationError: nginx refuses them, or is too old to lose no request.
        """
        container, docker = self.container(), self.probes.docker
        mounts = tuple(word for there, at in volumes.items() for word in ("--volume", f"{there}:{at}:ro"))
        alone = ("docker", "run", "--rm", "--network", "none", *mounts, "--entrypoint", "nginx", image)
        nginx = ("docker", "exec", container.id, "nginx") if container and not fresh else alone
        done = docker.tried((*nginx, "-v", "-t", "-c", f"{FOLDER}/releases/{folder}/nginx.conf"))
        version = _version(done.stderr)
        if version < LEAST_VERSION:
            least, is_ = (".".join(map(str, each)) for each in (LEAST_VERSION, version))
            raise ConfigurationError(
                f"nginx {is_} cannot reload without losing requests; use an image of {least} or newer."
            )
        self._require_accepted(done)

    def _require_accepted(self, done: Completed) -> None:
        if done.code != 0:
            why = next((line for line in done.stderr.splitlines() if "[emerg]" in line), done.stderr.strip()[-300:])
            raise ConfigurationError(f"nginx refuses the configuration; what runs goes on with the old one: {why}")

    def container(self) -> Container | None:
        """nginx's running container; None where there is none."""
        found = self.probes.docker.containers(self.probes.model.project, self.probes.model.network)
        return next((each for each in found if each.service == NGINX and each.running), None)

    def switch(self, upstreams: Sequence[Upstream], folder: str) -> None:
        """Let nginx send new requests elsewhere, and see that it does. What is open goes on where it is.

        Raises:
            ConfigurationError: nginx refuses the files; the old ones are back.
            OperationFailed: it did not take them over; the old ones are back.
        """
        before = {
            name: self.site.read(f"{UPSTREAMS}/{name}") for name in (*(each.file for each in upstreams), GENERATION)
        }
        old_folder, generation = self.folder(), secrets.token_hex(6)
        after = {each.file: each.text().encode() for each in upstreams} | {
            GENERATION: generation_text(generation).encode()
        }
        try:
            self._write(after)
            self.site.link(LIVE, f"releases/{folder}")
            self._reload(generation)
        except BaseException:
            self._write({name: text for name, text in before.items() if text is not None})
            self.site.link(LIVE, f"releases/{old_folder}")
            raise

    def _write(self, files: Mapping[str, bytes]) -> None:
        for name, text in files.items():
            self.site.write(f"{UPSTREAMS}/{name}", text, mode=0o644)

    def _reload(self, generation: str) -> None:
        """A reload is asynchronous, and nginx keeps the old configuration when it fails (nginx manual, control): only where
        the new one is not seen soon it is asked why."""
        container = self.container()
        if container is None:
            return
        docker = self.probes.docker
        docker.call(("docker", "kill", "--signal", "HUP", container.id))
        began, seen, looked = time.monotonic(), 0, False
        while seen < _TIMES:
            answer = self.probes.ask(container.address, _INNER_PORT, "/generation").text.strip()
            seen = seen + 1 if answer == generation else 0
            waited = time.monotonic() - began
            if waited > _RELOAD_SECONDS:
                raise OperationFailed(
                    "nginx did not take over the new configuration; look at its log (platformctl logs nginx)."
                )
            if waited > _SOON_SECONDS and not looked:
                test = ("docker", "exec", container.id, "nginx", "-t", "-q", "-c", f"{FOLDER}/live/nginx.conf")
                self._require_accepted(docker.tried(test))
                looked = True
            time.sleep(0.01 if seen else 0.03)

    def versions_seen(self, services: Collection[str]) -> dict[str, str]:
        """The version that nginx gets from each service; '' where none is told."""
        container, found = self.container(), dict.fromkeys(services, "")
        for name in services if container else ():
            probe = self.probes.model.services[name].rollout.version
            if container and probe:
                found[name] = self.probes.version(probe, container.address, _INNER_PORT, f"/services/{name}")
        return found

    def open_to(self, addresses: Mapping[str, int]) -> int:
        """How many of nginx's connections lead to these addresses and ports."""
        container = self.container()
        if container is None:
            return 0
        table = self.probes.docker.call(("docker", "exec", container.id, "cat", "/proc/net/tcp")).decode()
        return sum(established_to(table, address, port) for address, port in addresses.items())

    def has_old_workers(self) -> bool:
        """Whether workers of before the last reload still have connections of clients."""
        container = self.container()
        if container is None:
            return False
        argv = ("docker", "exec", container.id, "sh", "-c", "cat /proc/[0-9]*/cmdline")
        found = self.probes.docker.tried(argv).stdout  # it may fail for a process that ended meanwhile
        return not found or _SHUTTING_DOWN in found

    def lost_since(self, when: str) -> int | None:
        """How many requests nobody behind nginx answered since then (the host's time, as docker writes it), as nginx saw
        it; None where nginx did not run all the time. What platformctl asked itself does not count."""
        container = self.container()
        began = container.started if container else None
        if container is None or began is None or began > moment(when):
            return None
        argv = ("docker", "logs", "--since", when, container.id)
        return sum(map(is_lost, self.probes.docker.tried(argv).stdout.decode("utf8", "replace").splitlines()))


def _version(answer: str) -> tuple[int, ...]:
    """What `nginx -v` tells: nginx version: nginx/1.30.6 (Debian)."""
    found = re.search(r"nginx/(\d+(?:\.\d+)*)", answer)
    return tuple(map(int, found[1].split("."))) if found else (0,)
