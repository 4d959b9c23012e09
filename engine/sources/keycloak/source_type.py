"""Keycloak as a type of source. What is heavy is imported when it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.hosts.settings import HostSettings
from engine.progress import Progress
from engine.repository.body import Body
from engine.repository.findings import Findings
from engine.repository.repository import Repository
from engine.sources.base import SourceType
from engine.sources.keycloak.kinds import REALM
from engine.sources.keycloak.settings import RealmSettings

if TYPE_CHECKING:
    from engine.sources.keycloak.source import KeycloakSource


def _open(name: str, settings: RealmSettings, host: HostSettings) -> KeycloakSource:
    from engine.sources.keycloak.source import KeycloakSource  # httpx takes a while to import, and `list` needs none

    return KeycloakSource(name, settings, host)


def _prove(repository: Repository, body: Body, findings: Findings, progress: Progress, host: HostSettings) -> None:
    from engine.sources.keycloak.prove import prove

    prove(repository, body, findings, progress, host.docker_host)


KEYCLOAK = SourceType(
    section="realms",
    noun="keycloak",
    title="Keycloak",
    kinds=(REALM,),
    settings=RealmSettings,
    open=_open,
    prove=_prove,
    flow="realm-export",
    secrets="the realms' private keys, client secrets and the users' credentials",
    restore_flow="restore-realm",
    commands={"diff": "Show what changed in a realm between two sets, by name and never by value."},
)
