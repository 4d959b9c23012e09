"""What [certificates.NAME] may say: the certificate that a platform's nginx shows."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from engine.config.names import Name
from engine.config.settings import SourceSettings

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
_HOST_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*")


def _host_name(value: str) -> str:
    if not _HOST_NAME.fullmatch(value):
        raise ValueError("give host names in small letters (http-01 proves no wildcard)")
    return value


class CertificateSettings(SourceSettings):
    """The certificate of a platform's nginx, and where it comes from."""

    operations: ClassVar[tuple[str, ...]] = ("certificate-renew", "restore-drill", "check-backups")

    platform: Name
    """The platform whose nginx shows it, by name."""
    names: tuple[Annotated[str, AfterValidator(_host_name)], ...] = Field(min_length=1, max_length=100)
    """The host names that it is for, the main one first."""
    method: Literal["acme", "self-signed"] = "self-signed"
    """acme: a certificate authority issues it, and asks nginx for a file first (http-01). self-signed: we make it."""
    directory: str = Field(default=LETS_ENCRYPT, pattern=r"^https://[^\s@]+$")
    """The address of the authority's ACME directory."""
    contact: str = ""
    """A mail address that the authority may write to."""
    terms_agreed: bool = False
    """Whether you agree to the authority's terms; it issues nothing without that."""
    ca_bundle: str = ""
    """A file of certificates by which the authority's own server is known; empty: those that every browser knows."""
    renew_days: int = Field(default=30, ge=1, le=365)
    """It is renewed when it has fewer days left than this."""
    warn_days: int = Field(default=21, ge=0, le=365)
    """A renewal that fails ends its run as Failed when fewer days than this are left; before, it is only remarked."""
    allow_unencrypted: bool = False
    """Whether its private key may go to a store that has no recipients."""
    issue_seconds: float = Field(default=180, gt=0, le=3600)
    """How long the authority may take altogether."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.method == "acme" and not self.terms_agreed:
            raise ValueError("read the authority's terms and set terms_agreed = true: it issues nothing without that")
        if self.warn_days >= self.renew_days:
            raise ValueError(
                "warn_days has to be less than renew_days: between them lie the tries before anybody is told"
            )
        return self
