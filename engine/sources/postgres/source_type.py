"""PostgreSQL as a type of source. What is heavy is imported when it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.hosts.settings import HostSettings
from engine.progress import Progress
from engine.repository.body import Body
from engine.repository.findings import Findings
from engine.repository.repository import Repository
from engine.sources.base import SourceType
from engine.sources.postgres.kinds import CLUSTER, DATABASE
from engine.sources.postgres.settings import ServerSettings

if TYPE_CHECKING:
    from engine.sources.postgres.source import PostgresSource


def _open(name: str, settings: ServerSettings, host: HostSettings) -> PostgresSource:
    from engine.sources.postgres.source import PostgresSource  # psycopg takes long to import, and `list` needs none

    return PostgresSource(name, settings, host)


def _prove(repository: Repository, body: Body, findings: Findings, progress: Progress, host: HostSettings) -> None:
    from engine.sources.postgres.drill.drill import prove

    prove(repository, body, findings, progress, host.docker_host)


POSTGRES = SourceType(
    section="servers",
    noun="server",
    title="PostgreSQL server",
    kinds=(CLUSTER, DATABASE),
    settings=ServerSettings,
    open=_open,
    prove=_prove,
    secrets="in 000-globals the roles' password verifiers",
)
