"""A small platform on this machine's Docker: four services of the real compose file, with stand-in applications."""

from __future__ import annotations

import asyncio
import functools
import secrets
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.load import Counts, Load
from engine.compose.containers import Container
from engine.config.platforms import PlatformSettings
from engine.config.settings import FolderStore
from engine.errors import ConfigurationError
from engine.hosts.settings import HostSettings
from engine.operations.release import ReleaseRun
from engine.progress import silent
from engine.releases.plan import Plan
from engine.releases.platform import Platform, open_platform
from engine.repository.repository import Repository
from engine.sources.base import Source
from engine.sources.postgres.scratch.socket_and_port import free_port
from engine.steps import InShell, Steps
from engine.stores.opening import open_store
from tests.engine.hosts.parts import missing
from tests.quick import starting

STACK = Path(__file__).parents[3] / "stack"
BUILD = STACK / "images" / "build"
SERVICES = ("nginx", "kohub-backend", "kohub-frontend", "termix")
FAULTS = ("never-healthy", "crashes", "wrong-version", "failing-migration", "failing-smoke")
CANARY = "canary-8d11-of-a-platform"


@functools.cache
def require_docker() -> None:
    """Skip, with the reason, where there is no engine or no way to build images."""
    starting("containers")
    try:
        done = subprocess.run(["docker", "compose", "version"], capture_output=True)
        engine = subprocess.run(["docker", "version"], capture_output=True)
    except FileNotFoundError:
        missing("there is no docker program")
    if done.returncode or engine.returncode:
        missing("no Docker engine with compose answers (bash .ci/parts starts one)")
    if (
        not shutil.which("debootstrap")
        and subprocess.run(["docker", "image", "inspect", "platform-ops/debian:forky"], capture_output=True).returncode
    ):
        missing("there is no debootstrap to build images with")


@functools.cache
def built(*words: str) -> None:
    """An image, built once; what has not changed is not built again."""
    subprocess.run([str(BUILD), *words], check=True)


def build_images() -> None:
    built("base", "nginx")
    for name, versions in (
        ("kohub-backend", ("1.0.0", "1.1.0")),
        ("kohub-frontend", ("1.0.0", "1.1.0")),
        ("termix", ("1.0.0", "1.1.0")),
    ):
        for version in versions:
            built("app", name, version)
    for fault in FAULTS:
        built("app", "kohub-backend", "1.2.0", fault)


def reduced(document: dict[str, Any]) -> dict[str, Any]:
    """The compose file with these services only; what is slow in it is shortened."""
    services = {name: each for name, each in document["services"].items() if name in SERVICES}
    for each in services.values():
        each["depends_on"] = {name: need for name, need in (each.get("depends_on") or {}).items() if name in SERVICES}
        each["healthcheck"] |= {"start_period": "4s", "interval": "1s", "retries": 3}
        each["mem_limit"], each["cpus"] = "256m", 2
    routes = {path: route for path, route in document["x-routes"].items() if route["service"] in SERVICES}
    volumes = {name: each for name, each in document["volumes"].items() if name in ("nginx-ssl", "termix-data")}
    rollouts = {name: each for name, each in document["x-rollout"].items() if name in SERVICES}
    return document | {"services": services, "x-routes": routes, "volumes": volumes, "x-rollout": rollouts}


@dataclass
class SmallPlatform:
    """The platform's folder, and how tests deploy it."""

    directory: Path
    project: str
    port: int
    store: Path
    host: HostSettings = field(default_factory=HostSettings)

    @property
    def settings(self) -> PlatformSettings:
        return PlatformSettings(directory=str(self.directory), project=self.project, store="records")

    @property
    def config(self) -> Path:
        """A platform-ops.toml that names this platform, `small`."""
        return self.directory.parent / "platform-ops.toml"

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def platform(self) -> Platform:
        return open_platform("small", self.settings, self.host)

    def repository(self, name: str) -> Repository:
        return Repository(open_store(name, FolderStore(path=str(self.store))))

    def run(
        self, operation: str = "deploy", approve: Callable[[Plan], str] = lambda plan: "", **versions: str
    ) -> ReleaseRun:
        """A change that is not carried out yet; `kohub_backend="1.1.0"` names a version."""
        named = {name.replace("_", "-"): version for name, version in versions.items()}
        return ReleaseRun(self.platform(), operation, f"test {operation}", approve, self.repository, _no_source, named)

    def change(self, operation: str = "deploy", steps: Steps | None = None, **versions: str) -> ReleaseRun:
        run = self.run(operation, lambda plan: "", **versions)
        run.carry_out(steps or InShell(silent))
        return run

    def containers(self) -> Mapping[str, list[Container]]:
        found: dict[str, list[Container]] = {}
        for each in self.platform().docker.containers(self.project):
            found.setdefault(each.service, []).append(each)
        return found

    def standing(self) -> dict[str, list[tuple[str, bool]]]:
        """Which containers there are, and whether each runs: what a change that does nothing leaves as it is."""
        return {service: [(each.id, each.running) for each in found] for service, found in self.containers().items()}

    def version(self, service: str) -> str:
        """The version of the one container of a service."""
        (container,) = self.containers()[service]
        return container.image.partition(":")[2].rpartition("-")[0]

    def edit(self, name: str, old: str, new: str) -> None:
        """Change one of the operator's files."""
        path = self.directory / name
        text = path.read_text(encoding="utf8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf8")

    @contextmanager
    def edited(self, change: Callable[[Any], None]) -> Iterator[None]:
        """The compose file changed for a while."""
        path = self.directory / "compose.platform.yml"
        before = path.read_text(encoding="utf8")
        document = yaml.safe_load(before)
        change(document)
        path.write_text(yaml.safe_dump(document), encoding="utf8")
        try:
            yield
        finally:
            path.write_text(before, encoding="utf8")

    def leftovers(self) -> list[str]:
        """What a finished change must not leave: a journal, staged releases, second or stopped containers."""
        site = self.platform().site
        found = ["journal"] if (self.directory / "run/journal.json").exists() else []
        found += [
            name
            for name in site.releases()
            if '"state": "staged"' in (self.directory / site.release(name, "release.json")).read_text(encoding="utf8")
        ]
        for service, containers in self.containers().items():
            found += (
                [f"{service}: {[each.name for each in containers]}"]
                if len(containers) != 1 or not containers[0].running
                else []
            )
        conf = (self.directory / "run/nginx/upstreams/kohub-backend.conf").read_text(encoding="utf8")
        return found + ([] if "kohub-backend:8080 resolve" in conf and "backup" not in conf else [f"upstream: {conf}"])

    def by_hand(self) -> str:
        """What `docker compose up -d` in the folder says that it does, but leaving things as they are."""
        done = subprocess.run(
            ["docker", "compose", "--ansi", "never", "up", "--detach"],
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=True,
        )
        lines = [line.split()[-1] for line in done.stderr.splitlines() if line.startswith(" Container")]
        return " ".join(sorted(set(lines) - {"Running", "Waiting", "Healthy"}))

    @contextmanager
    def under_load(self, per_second: float = 120.0) -> Iterator[Counts]:
        """Requests to the rolling services while the block runs; the counts are whole after it."""
        load = Load(self.url, ("/api/a", "/b"), http1=4, http2=2, per_second=per_second)
        total = Counts()
        loop = asyncio.new_event_loop()
        stop = asyncio.Event()
        thread = threading.Thread(target=loop.run_until_complete, args=(load.run(stop),), name="load")
        thread.start()
        try:
            yield total
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()
            loop.close()
            for each in load.by_protocol.values():
                total.answered += each.answered
                total.unprocessed += each.unprocessed
                total.failures += each.failures
                total.versions += each.versions


def _no_source(name: str) -> Source:
    raise ConfigurationError(f"there is no source {name}")


def readable(folder: Path) -> None:
    """Let containers of other users read what is in one of pytest's folders."""
    for each in (folder, *folder.parents):
        if "pytest-" in str(each):
            each.chmod(0o755)


@contextmanager
def small_platform(folder: Path, port: int) -> Iterator[SmallPlatform]:
    """A platform that is taken away again with all it made."""
    readable(folder)
    project = f"po-test-{secrets.token_hex(3)}"
    small = SmallPlatform(folder / "platform", project, port, folder / "records")
    small.store.mkdir()
    write_folder(small)
    small.config.write_text(
        f'[platforms.small]\ndirectory = "{small.directory}"\nproject = "{project}"\nstore = "records"\n'
        f'[stores.records]\nkind = "folder"\npath = "{small.store}"\n',
        encoding="utf8",
    )
    try:
        yield small
    finally:
        remove(small)


def write_folder(small: SmallPlatform) -> None:
    small.directory.mkdir()
    document = yaml.safe_load((STACK / "compose.platform.yml").read_text(encoding="utf8"))
    (small.directory / "compose.platform.yml").write_text(yaml.safe_dump(reduced(document)), encoding="utf8")
    (small.directory / "compose.staging.yml").write_text("services: {}\n", encoding="utf8")
    shutil.copytree(STACK / "nginx", small.directory / "nginx")
    shutil.copytree(STACK / "postgres", small.directory / "postgres")
    small.edit("nginx/nginx.conf", "keepalive_min_timeout 10s", "keepalive_min_timeout 2s")
    images = {name: f"platform-ops/{name}:1.0.0" for name in SERVICES} | {"nginx": "platform-ops/nginx:1.30"}
    lines = [f"{name.upper().replace('-', '_')}_IMAGE={image}" for name, image in images.items()]
    (small.directory / "images.env").write_text("\n".join(lines) + "\n", encoding="utf8")
    values = {
        "PUBLIC_HOST": "localhost",
        "PUBLIC_PORT": f":{small.port}",
        "BIND_ADDRESS": "127.0.0.1",
        "HTTP_PORT": "0",
        "HTTPS_PORT": str(small.port),
        "API_RATE_PER_SECOND": "100000",
        "API_BURST": "1000",
        "LOG_LEVEL": "info",
        "BACKEND_MIGRATE": "python3 /app/app.py migrate",
        "KOHUB_DB_PASSWORD": CANARY,
        "VOLUME_PREFIX": f"{small.project}-",
        "NETWORK_NAME": small.project,
    }
    text = "".join(f"{name}={value}\n" for name, value in values.items())
    (small.directory / ".env.staging").write_text(text, encoding="utf8")
    # nginx's files name all ten services; those that this platform has not answer nobody.
    upstreams = small.directory / "run/nginx/upstreams"
    upstreams.mkdir(parents=True)
    absent = ("keycloak", "kusthub-backend", "kusthub-frontend", "uptime-kuma")
    (upstreams / "absent.conf").write_text("".join(f"upstream {name} {{ server 127.0.0.1:9; }}\n" for name in absent))


def remove(small: SmallPlatform) -> None:
    """Containers, network, volumes and images of this project, by their exact names."""
    label = f"label=com.docker.compose.project={small.project}"
    for kind, flag in (("container", ["--force", "--volumes"]), ("network", []), ("volume", [])):
        listed = subprocess.run(
            ["docker", kind, "ls", "--quiet", "--filter", label, *(["--all"] if kind == "container" else [])],
            capture_output=True,
            text=True,
        )
        if found := listed.stdout.split():
            subprocess.run(["docker", kind, "rm", *flag, *found], capture_output=True)
    tags = subprocess.run(
        ["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"], capture_output=True, text=True
    ).stdout.split()
    if mine := [tag for tag in tags if tag.startswith(f"{small.project}/")]:
        subprocess.run(["docker", "image", "rm", *mine], capture_output=True)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallPlatform]:
    """One small platform for all tests of the group `releases`, deployed once."""
    from tests.conftest import WORKER

    require_docker()
    build_images()
    folder = tmp_path_factory.mktemp("small")
    with small_platform(folder, free_port(28_400 + WORKER * 20)) as made:
        made.change()
        yield made
