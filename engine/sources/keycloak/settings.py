"""What [realms.NAME] may say: how a Keycloak is reached, and how its realms are exported."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from engine.config.settings import SourceSettings
from engine.secrets import SecretReference
from engine.settings_model import Frozen


def _address(value: str) -> str:
    scheme, separator, rest = value.partition("://")
    if scheme not in ("http", "https") or not separator or not rest or "@" in rest:
        raise ValueError("give the address of Keycloak, such as http://127.0.0.1:8080/auth")
    return value.rstrip("/")


class Login(Frozen):
    """Somebody of a realm whose login a drill tries."""

    user: str
    """A name in that realm: best a user of no rights, made for this."""
    password: SecretReference
    """Where its password is: env:NAME, file:/path or prefect:block. It is stored in the set, as secret as that is."""


class RealmSettings(SourceSettings):
    """A Keycloak and where the exports of its realms go."""

    operations: ClassVar[tuple[str, ...]] = ("realm-export", "restore-drill", "check-backups")

    url: Annotated[str, AfterValidator(_address)] = "http://127.0.0.1:8080"
    """Where Keycloak answers, with its path, as it is known where it runs (`runs_on`)."""
    user: str = "admin"
    """An administrator of all realms (of the realm master)."""
    password: SecretReference
    """Where the password is, never the password itself: env:NAME, file:/path, prefect:block or aws:name."""
    kc: str = "/opt/keycloak/bin/kc.sh"
    """Keycloak's program where it runs: it makes and takes the exports, beside the server that runs."""
    export_memory_mib: int = Field(default=512, ge=128, le=65536)
    """How much heap an export gets there, beside the server's own: more where it has 100,000 users."""
    stall_minutes: float = Field(default=30, gt=0, le=1440)
    """No byte for so long ends an export. Keycloak gives the first one when it has read all users."""
    full_export_hours: float = Field(default=24, gt=0, le=8760)
    """After so long all of a realm is exported and compared, whatever the look at it said."""
    allow_unencrypted: bool = False
    """Store realms, which hold private keys and client secrets, in a store without recipients too."""
    logins: dict[str, Login] = Field(default={})
    """By realm, a user whose login a drill tries."""
