"""The compose file whole, on this machine's Docker, with stand-in applications."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from demo import platform_files
from demo.layout import Layout
from demo.platform_files import NAME
from engine.config.settings import Settings
from engine.operations.database_rollback import DatabaseRollback
from engine.operations.release import ReleaseRun
from engine.progress import silent
from engine.releases.platform import Platform, open_platform
from engine.repository.repository import Repository, open_repository
from engine.sources.postgres.opening import configured_server
from engine.sources.postgres.restore.operation import RestoreRun
from engine.sources.registry import load_settings, open_source
from engine.steps import InShell
from tests.engine.releases.small_platform import built

BREAKING = "1.3.0"
"""The version of kohub-backend whose migration the one before cannot live with."""


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

    def back_with_databases(self, names: Sequence[str]) -> DatabaseRollback:
        """A rollback with these databases, not carried out yet."""

        def restore(source: str, set_id: str, names: Sequence[str]) -> RestoreRun:
            server = configured_server(self.settings, source)
            return RestoreRun(self.repository(server.settings.store), source, server, names, set_id, in_place=True)

        return DatabaseRollback(self.platform(), restore, self.run("rollback"), names)

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


@contextmanager
def whole_platform(folder: Path) -> Iterator[Whole]:
    """Ten services in containers of their own project, deployed once; taken away again with all they made."""
    for words in (("base", "nginx", "redis", "postgres"), ("keycloak",), ("uptime-kuma",)):
        built(*words)
    for name in platform_files.APPLICATIONS:
        built("app", name, "1.0.0")
    built("app", "kohub-backend", BREAKING, "", "--build-arg", "MIGRATION=breaking")
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
