"""What `make platform` deploys: a copy of stack/, images built from packages, secrets of its own."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from dataclasses import dataclass

from demo.layout import PROJECT, Layout, write_private
from demo.progress import Progress
from engine.errors import ConfigurationError, OperationFailed
from engine.sources.postgres.scratch.socket_and_port import free_port

PROJECT_NAME, NAME, SOURCE = "kecp-demo", "kecp", "kecp-postgres"
STACK = PROJECT / "stack"
VERSIONS = ("1.0.0", "1.1.0")
APPLICATIONS = ("kohub-backend", "kohub-frontend", "kusthub-backend", "kusthub-frontend", "termix")
_FIRST_PORT = 8443
_SECRETS = (
    "POSTGRES_PASSWORD",
    "KEYCLOAK_DB_PASSWORD",
    "KUSTHUB_DB_PASSWORD",
    "KOHUB_DB_PASSWORD",
    "KEYCLOAK_ADMIN_PASSWORD",
)
_IMAGES = {
    "NGINX": "platform-ops/nginx:1.30",
    "POSTGRES": "platform-ops/postgres:16",
    "REDIS": "platform-ops/redis:8",
    "KEYCLOAK": "platform-ops/keycloak:24.0.5",
    "UPTIME_KUMA": "platform-ops/uptime-kuma:2",
}
_CONFIG = """# Written by `make platform`.
[hosts.kecp-postgres-container]
where = "container:{project}-postgres-1"

[hosts.kecp-keycloak-container]
where = "container:{project}-keycloak-1"

[servers.{source}]
host = "/var/run/postgresql"
user = "postgres"
runs_on = "kecp-postgres-container"
store = "nightly"

[stores.nightly]
kind = "folder"
path = "{store}"

[platforms.{name}]
directory = "{directory}"
environment = "staging"
project = "{project}"
store = "nightly"
backup = "{source}"

[realms.{name}-realms]
platform = "{name}"
runs_on = "kecp-keycloak-container"
url = "http://127.0.0.1:8080/auth"
password = "file:{password}"
store = "nightly"
allow_unencrypted = true  # of this demo: give the store of a real platform recipients

[volumes.{name}-volumes]
platform = "{name}"
project = "{project}"
store = "nightly"

[certificates.{name}-tls]
platform = "{name}"
names = ["localhost"]
store = "nightly"
allow_unencrypted = true  # of this demo, too
"""


@dataclass(frozen=True)
class Address:
    """Where the platform answers."""

    port: int

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"


def require_docker() -> None:
    """Say at once what is missing.

    Raises:
        ConfigurationError: no Docker engine answers, or it has no compose.
    """
    for argv, lack in (
        (["docker", "version"], "No Docker engine answers (docker version)"),
        (["docker", "compose", "version"], "Docker has no compose (docker compose version)"),
    ):
        try:
            code = subprocess.run(argv, capture_output=True, timeout=60).returncode
        except (OSError, subprocess.TimeoutExpired):
            code = 1
        if code:
            raise ConfigurationError(f"{lack}; `bash .ci/parts` installs and starts both on Debian and Ubuntu.")


def build_images(progress: Progress) -> None:
    """The platform's images, those that are missing or changed.

    Raises:
        OperationFailed: one cannot be built.
    """
    build = str(STACK / "images" / "build")
    wanted = [["base", "nginx", "redis", "postgres"], ["keycloak"], ["uptime-kuma"]]
    wanted += [["app", name, version] for name in APPLICATIONS for version in VERSIONS]
    for words in wanted:
        with progress.doing(f"images: building {' '.join(words[-2:] if words[0] == 'app' else words)}"):
            done = subprocess.run([build, *words], capture_output=True, text=True)
        if done.returncode:
            raise OperationFailed(f"An image cannot be built: {(done.stderr.strip().splitlines() or ['?'])[-1][-300:]}")


def write(layout: Layout, project: str = PROJECT_NAME) -> Address:
    """The platform's folder and the configuration; what is there already stays, so that secrets stay."""
    folder = layout.platform
    settings = folder / ".env.staging"
    if settings.exists():
        lines = settings.read_text(encoding="utf8").splitlines()
        return Address(int(next(line for line in lines if line.startswith("HTTPS_PORT=")).partition("=")[2]))
    folder.mkdir(mode=0o755, exist_ok=True)
    for name in ("compose.platform.yml", "compose.staging.yml"):
        shutil.copy(STACK / name, folder / name)
    for name in ("nginx", "postgres"):
        shutil.copytree(STACK / name, folder / name, dirs_exist_ok=True)
    applications = {name.upper().replace("-", "_"): f"platform-ops/{name}:{VERSIONS[0]}" for name in APPLICATIONS}
    images = "".join(f"{name}_IMAGE={image}\n" for name, image in (_IMAGES | applications).items())
    (folder / "images.env").write_text(images, encoding="utf8")
    port = free_port(_FIRST_PORT)
    values = {
        "PUBLIC_HOST": "localhost",
        "PUBLIC_PORT": f":{port}",
        "BIND_ADDRESS": "127.0.0.1",
        "HTTP_PORT": str(free_port(port + 1)),
        "HTTPS_PORT": str(port),
        "API_RATE_PER_SECOND": "50",
        "API_BURST": "100",
        "POSTGRES_MEMORY": "1g",
        "KEYCLOAK_MEMORY": "2g",
        "APP_MEMORY": "256m",
        "APP_CPUS": "1",
        "LOG_LEVEL": "info",
        "BACKEND_MIGRATE": "python3 /app/app.py migrate",
        "VOLUME_PREFIX": f"{project}-",
        "NETWORK_NAME": f"{project}-network",
    }
    values |= {name: secrets.token_urlsafe(24) for name in _SECRETS}
    password = layout.config.with_name("keycloak-password")
    write_private(
        layout.config,
        _CONFIG.format(
            project=project, source=SOURCE, name=NAME, store=layout.store, directory=folder, password=password
        ),
    )
    write_private(password, values["KEYCLOAK_ADMIN_PASSWORD"])
    write_private(settings, "".join(f"{name}={value}\n" for name, value in values.items()))
    return Address(port)


def remove(*, everything: bool, project: str = PROJECT_NAME) -> None:
    """Containers of this project, and with `everything` its network, volumes and images, by their exact names."""
    label = f"label=com.docker.compose.project={project}"
    if not shutil.which("docker"):
        return
    _remove("container", ["--force"], ["--all", "--filter", label])
    if not everything:
        return
    _remove("network", [], ["--filter", label])
    _remove("volume", [], ["--filter", label])
    tags = _output_lines(["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"])
    if mine := [tag for tag in tags if tag.startswith(f"{project}/")]:
        subprocess.run(["docker", "image", "rm", *mine], capture_output=True)


def _remove(kind: str, flags: list[str], which: list[str]) -> None:
    if found := _output_lines(["docker", kind, "ls", "--quiet", *which]):
        subprocess.run(["docker", kind, "rm", *flags, *found], capture_output=True)


def _output_lines(argv: list[str]) -> list[str]:
    return subprocess.run(argv, capture_output=True, text=True).stdout.split()
