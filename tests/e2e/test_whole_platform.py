"""The compose file whole, on real parts: nginx, PostgreSQL 16, Redis, Keycloak 24, Uptime Kuma; stand-ins for the rest."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence

import httpx
import pytest

from demo import platform_files
from demo.layout import Layout
from demo.platform_files import NAME, SOURCE
from engine.config.settings import Settings
from engine.errors import ConfigurationError
from engine.operations.database_rollback import DatabaseRollback
from engine.operations.platform_state import look
from engine.operations.release import ReleaseRun
from engine.progress import silent
from engine.releases.platform import Platform, open_platform
from engine.repository.repository import Repository, open_repository
from engine.sources.postgres.opening import configured_server
from engine.sources.postgres.restore.operation import RestoreRun
from engine.sources.registry import load_settings, open_source
from engine.steps import InShell
from tests.engine.releases.place import built, require_docker

pytestmark = pytest.mark.xdist_group("demo")


class Whole:
    """The platform, and how the tests change it."""

    def __init__(self, settings: Settings, project: str, port: int) -> None:
        self.settings, self.project, self.port = settings, project, port

    def platform(self) -> Platform:
        return open_platform(NAME, self.settings.platform(NAME), self.settings.hosts)

    def repository(self, name: str) -> Repository:
        return open_repository(name, self.settings.store(name))

    def run(self, operation: str, **versions: str) -> ReleaseRun:
        named = {name.replace("_", "-"): version for name, version in versions.items()}
        return ReleaseRun(
            self.platform(),
            operation,
            f"test {operation}",
            lambda plan: "",
            self.repository,
            lambda name: open_source(self.settings, name),
            named,
        )

    def change(self, operation: str, **versions: str) -> ReleaseRun:
        run = self.run(operation, **versions)
        run.carry_out(InShell(silent))
        return run

    def sql(self, database: str, statement: str) -> str:
        argv = (
            "docker",
            "exec",
            f"{self.project}-postgres-1",
            "psql",
            "-XtAc",
            statement,
            "-h",
            "/var/run/postgresql",
            "-U",
            "postgres",
            database,
        )
        return self.platform().docker.call(argv).decode().strip()

    def get(self, path: str, host: str = "localhost") -> httpx.Response:
        headers = {"Host": f"{host}:{self.port}"}
        return httpx.get(f"https://127.0.0.1:{self.port}{path}", headers=headers, verify=False, timeout=30)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    require_docker()
    for words in (("base", "nginx", "redis", "postgres"), ("keycloak",), ("uptime-kuma",)):
        built(*words)
    for name in platform_files.APPLICATIONS:
        built("app", name, "1.0.0")
    built("app", "kohub-backend", "1.3.0", "", "--build-arg", "MIGRATION=breaking")
    folder = tmp_path_factory.mktemp("whole")
    for each in (folder, *folder.parents):
        if each.name.startswith(("pytest-", "whole", "popen-")):
            each.chmod(0o755)
    layout, project = Layout(folder / "root"), f"po-whole-{secrets.token_hex(3)}"
    layout.make()
    layout.root.chmod(0o755)
    address = platform_files.write(layout, project)
    try:
        made = Whole(load_settings(layout.config), project, address.port)
        made.change("deploy")
        yield made
    finally:
        platform_files.remove(everything=True, project=project)


def test_ten_services_and_seven_routes_are_well(whole: Whole) -> None:
    state = look(whole.platform(), probe=True)
    assert state.problem is None
    assert len(state.services) == 10 and len(state.routes) == 7


def test_keycloak_under_its_path_gives_links_that_lead_to_it(whole: Whole) -> None:
    found = whole.get("/auth/realms/master/.well-known/openid-configuration").json()
    root = f"https://localhost:{whole.port}/auth/realms/master"
    assert found["issuer"] == root and found["token_endpoint"] == f"{root}/protocol/openid-connect/token"
    console = whole.get("/auth/admin/master/console/")
    assert console.status_code == 200 and f"https://localhost:{whole.port}/auth" in console.text


def test_uptime_kuma_answers_under_its_path_and_by_its_own_name(whole: Whole) -> None:
    assert whole.get("/monitor/api/entry-page").json()["type"] in ("entryPage", "setup-database")
    page = whole.get("/setup-database", host="monitor.localhost")
    assert page.status_code == 200 and "Uptime Kuma" in page.text


def test_each_application_has_a_database_that_no_other_role_reads(whole: Whole) -> None:
    owners = whole.sql(
        "postgres",
        "SELECT datname || ':' || pg_get_userbyid(datdba) FROM pg_database WHERE datname LIKE 'k%' ORDER BY 1",
    )
    assert owners.split() == ["keycloak:keycloak", "kohub:kohub", "kusthub:kusthub"]
    assert whole.sql("postgres", "SELECT has_database_privilege('kusthub', 'kohub', 'CONNECT')") == "f"


def test_a_breaking_release_goes_back_with_its_databases_only(whole: Whole) -> None:
    whole.sql("kohub", "CREATE TABLE ticket (id int PRIMARY KEY); INSERT INTO ticket VALUES (1)")
    release = whole.change("update", kohub_backend="1.3.0")
    assert release.plan is not None and release.plan.breaking == ("kohub-backend",)
    assert any(key.startswith(f"{SOURCE}/db/kohub/") for key in release.backups)
    whole.sql("kohub", "DROP TABLE ticket")  # what its migration did
    with pytest.raises(ConfigurationError, match=r"images alone cannot go back.*rollback-db"):
        whole.change("rollback")

    def restore(source: str, set_id: str, names: Sequence[str]) -> RestoreRun:
        server = configured_server(whole.settings, source)
        return RestoreRun(whole.repository(server.settings.store), source, server, names, set_id, in_place=True)

    def back() -> DatabaseRollback:
        return DatabaseRollback(whole.platform(), restore, whole.run("rollback"), ("kohub", "kusthub"))

    with pytest.raises(ConfigurationError, match="repeat each name"):
        back().carry_out((), "`confirm`", InShell(silent))
    run = back()
    run.carry_out(("kohub", "kusthub"), "`confirm`", InShell(silent))
    assert run.stopped == ("kohub-backend", "kusthub-backend") and run.restored == ("kohub", "kusthub")
    assert whole.sql("kohub", "SELECT count(*) FROM ticket") == "1"
    assert whole.get("/api/version").json()["version"] == "1.0.0"
    kept = whole.sql("postgres", "SELECT count(*) FROM pg_database WHERE datname LIKE 'kohub\\_before\\_%'")
    assert kept == "1"
    assert look(whole.platform(), probe=True).problem is None
