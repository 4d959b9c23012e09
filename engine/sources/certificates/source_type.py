"""Certificates as a type of source. What is heavy is imported when it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.config.platforms import PlatformSettings
from engine.hosts.settings import HostSettings
from engine.progress import Progress
from engine.repository.body import Body
from engine.repository.findings import Findings
from engine.repository.repository import Repository
from engine.sources.base import SourceType
from engine.sources.certificates.facts import CERTIFICATE
from engine.sources.certificates.settings import CertificateSettings

if TYPE_CHECKING:
    from engine.sources.certificates.source import CertificateSource


def _open(
    name: str, settings: CertificateSettings, host: HostSettings, platform: PlatformSettings
) -> CertificateSource:
    from engine.sources.certificates.source import CertificateSource

    return CertificateSource(name, settings, host, platform)


def _prove(repository: Repository, body: Body, findings: Findings, progress: Progress, host: HostSettings) -> None:
    del host
    from engine.sources.certificates.drill import prove

    prove(repository, body, findings, progress)


CERTIFICATES = SourceType(
    section="certificates",
    noun="certificate",
    title="TLS certificate",
    kinds=(CERTIFICATE,),
    settings=CertificateSettings,
    open=_open,
    prove=_prove,
    flow="certificate-renew",
    secrets="the private key",
    restore_flow="restore-certificate",
    commands={"renew": "Issue or renew it, install it, and store what changed."},
    of_platform=True,
)
