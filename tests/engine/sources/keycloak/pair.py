"""A Keycloak on PostgreSQL, as the platform has it, in containers of their own: one for all tests of a process."""

from __future__ import annotations

import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx

from tests.engine.releases.small_platform import built

ADMIN, ADMIN_PASSWORD = "admin", "canary-0c41-of-the-administrator"
USER, USER_PASSWORD = "anna", "canary-77b2-of-a-user"
CLIENT, CLIENT_SECRET = "kohub-backend", "canary-19fe-of-a-client"
REALM = "kohub"
FLAGS = ("--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--memory", "2g")
_READY_SECONDS = 240


def docker(*words: str, data: bytes | None = None) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, input=data)
    assert done.returncode == 0, (words, done.stderr[-800:])
    return done.stdout.decode()


@dataclass
class Pair:
    """`name` is Keycloak's container."""

    name: str

    @property
    def url(self) -> str:
        return f"http://{docker('inspect', '-f', '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}', self.name).strip()}:8080/auth"

    def token(self, realm: str, **form: str) -> httpx.Response:
        url = f"{self.url}/realms/{realm}/protocol/openid-connect/token"
        return httpx.post(url, data={"client_id": "admin-cli", "grant_type": "password", **form}, timeout=60)

    def login(self, user: str = USER, password: str = USER_PASSWORD, realm: str = REALM) -> int:
        return self.token(realm, username=user, password=password).status_code

    def client_login(self, secret: str = CLIENT_SECRET, realm: str = REALM) -> int:
        return self.token(realm, grant_type="client_credentials", client_id=CLIENT, client_secret=secret).status_code

    def ask(self, method: str, path: str, body: Any = None, code: int | None = None) -> Any:
        bearer = self.token("master", username=ADMIN, password=ADMIN_PASSWORD).json()["access_token"]
        url, headers = f"{self.url}/admin/realms{path}", {"Authorization": f"Bearer {bearer}"}
        found = httpx.request(method, url, json=body, headers=headers, timeout=60)
        assert found.status_code == code if code else found.is_success, (path, found.status_code, found.text[:300])
        return found.json() if found.content else None

    def client(self) -> dict[str, Any]:
        [found] = [each for each in self.ask("GET", f"/{REALM}/clients") if each["clientId"] == CLIENT]
        return dict(found)

    def admin_sessions(self) -> int:
        """How many sessions of administrators there are, with the one that asks."""
        found = self.ask("GET", "/master/client-session-stats")
        return sum(int(each["active"]) for each in found if each["clientId"] == "admin-cli")

    def run(self, script: str) -> str:
        return docker("exec", self.name, "bash", "-c", script)

    def place(self, path: str, text: str) -> None:
        docker("exec", "-i", self.name, "bash", "-c", f"cat >{path}", data=text.encode())

    def started(self) -> str:
        return docker("inspect", "-f", "{{.State.StartedAt}}", self.name)

    def views(self) -> int:
        """How often its cluster saw members come or go."""
        done = subprocess.run(["docker", "logs", self.name], capture_output=True, text=True)
        return (done.stdout + done.stderr).count("new cluster view")

    def marked(self) -> list[str]:
        """Processes of exports and imports of ours there."""
        found = self.run(
            "for each in /proc/[0-9]*; do tr '\\0' '\\n' <$each/environ 2>/dev/null | grep -q ^PLATFORM_OPS_EXPORT= && "
            "echo $each; done; true"
        )
        return found.split()

    def await_ready(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            with suppress(httpx.HTTPError, AssertionError):
                if httpx.get(f"{self.url}/realms/master", timeout=5).is_success:
                    return
            assert time.monotonic() < deadline, docker("logs", "--tail", "20", self.name)
            time.sleep(0.5)


@contextmanager
def keycloak_pair(java_options: str = "-XX:TieredStopAtLevel=1") -> Iterator[Pair]:
    """Both containers with their network; they are removed with all they made. Without options Keycloak compiles as it
    does where it runs for long; with them it starts sooner."""
    built("base", "postgres", "keycloak")
    name = f"po-realm-{secrets.token_hex(4)}"
    database, password = f"{name}-db", secrets.token_hex(8)
    docker("network", "create", name)
    try:
        docker(
            "run",
            "-d",
            "--name",
            database,
            "--network",
            name,
            "-e",
            f"POSTGRES_PASSWORD={password}",
            "platform-ops/postgres:16",
        )
        _create_database(database, password)
        variables = {
            "KC_DB": "postgres", "KC_DB_URL": f"jdbc:postgresql://{database}:5432/keycloak", "KC_DB_USERNAME": "keycloak",
            "KC_DB_PASSWORD": password, "KC_HTTP_ENABLED": "true", "KC_HTTP_RELATIVE_PATH": "/auth",
            "KC_HEALTH_ENABLED": "true", "KC_METRICS_ENABLED": "true", "KC_PROXY_HEADERS": "xforwarded",
            "KC_HOSTNAME_URL": "https://localhost/auth", "KC_HOSTNAME_ADMIN_URL": "https://localhost/auth",
            "KEYCLOAK_ADMIN": ADMIN, "KEYCLOAK_ADMIN_PASSWORD": ADMIN_PASSWORD,
            "JAVA_OPTS_APPEND": java_options,
        }  # fmt: skip
        given = [word for key, value in variables.items() for word in ("-e", f"{key}={value}")]
        docker("run", "-d", "--name", name, "--network", name, *FLAGS, *given, "platform-ops/keycloak:24.0.5", "start")
        made = Pair(name)
        made.await_ready()
        _fill(made)
        yield made
    finally:
        for each in (name, database):
            subprocess.run(["docker", "rm", "--force", "--volumes", each], capture_output=True)
        subprocess.run(["docker", "network", "rm", name], capture_output=True)


def _create_database(name: str, password: str) -> None:
    sql = ("-c", f"CREATE ROLE keycloak LOGIN PASSWORD '{password}'", "-c", "CREATE DATABASE keycloak OWNER keycloak")
    for _ in range(120):
        done = subprocess.run(
            ["docker", "exec", name, "psql", "-h", "/var/run/postgresql", "-U", "postgres", *sql], capture_output=True
        )
        if done.returncode == 0:
            return
        time.sleep(0.5)
    raise AssertionError(done.stderr)


def _fill(pair: Pair) -> None:
    """A realm with one thing of each sort; it keeps its events, the realm master does not."""
    user = {"enabled": True, "firstName": "A", "lastName": "B"}
    pair.ask(
        "POST",
        "",
        {
            "realm": REALM,
            "enabled": True,
            "adminEventsEnabled": True,
            "eventsEnabled": True,
            "passwordPolicy": "specialChars(2) and maxLength(22)",
        },
    )
    pair.ask("POST", f"/{REALM}/clients", {
        "clientId": CLIENT, "secret": CLIENT_SECRET, "serviceAccountsEnabled": True, "publicClient": False,
        "redirectUris": ["https://a.example.org/*", "https://b.example.org/*"],
    })  # fmt: skip
    pair.ask("POST", f"/{REALM}/roles", {"name": "agent"})
    pair.ask("POST", f"/{REALM}/groups", {"name": "support"})
    pair.ask("POST", f"/{REALM}/authentication/flows/browser/copy", {"newName": "browser of kohub"})
    password = {"type": "password", "value": USER_PASSWORD}
    pair.ask("POST", f"/{REALM}/users", {
        **user, "username": USER, "email": "anna@example.org", "groups": ["/support"], "credentials": [password],
    })  # fmt: skip
