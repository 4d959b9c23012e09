"""What [servers.NAME] may say: how a PostgreSQL server is reached and read."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from engine.config.settings import SourceSettings
from engine.secrets import SecretReference


class ServerSettings(SourceSettings):
    """A PostgreSQL server and where its backups go."""

    host: str = "127.0.0.1"
    """A name, an address or the folder of a Unix socket, as it is known where the tools run."""
    port: int = Field(default=5432, ge=1, le=65535)
    """The server's port."""
    user: str = "postgres"
    """A superuser, or the role of a managed server that may read what shall be kept (docs/managed-postgresql.md)."""
    password: SecretReference | None = None
    """Where the password is, never the password itself: env:NAME, file:/path, prefect:block, aws:name or rds-iam:..."""
    role_passwords: dict[str, SecretReference] = Field(default={})
    """Where the passwords are of roles that a restore makes here, by role: a managed server's sets hold none."""
    maintenance_database: str = "postgres"
    """Where the backup lock is held; not through a transaction pooler."""
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = "prefer"
    """As in libpq; verify-full is the one that checks whom it talks to. A password of IAM asks for TLS."""
    sslrootcert: str = ""
    """The file of the authority's certificate, for verify-ca and verify-full."""
    tools: str = ""
    """The folder of pg_dump and its like where they run. Empty: PATH, then the usual folders, then our own."""
    jobs: int = Field(default=2, ge=1, le=64)
    """How many databases are read at once: as many as the server has cores to spare."""
    stall_minutes: float = Field(default=10, gt=0, le=1440)
    """No byte for so long ends a dump."""
    lock_wait_seconds: int = Field(default=60, ge=1, le=86400)
    """How long a dump waits for a table that somebody changes; then the database is dumped again, twice at most."""
    snapshot_limit_minutes: float = Field(default=240, gt=0, le=10080)
    """A snapshot holds back vacuum; one held longer is given up."""
    proof_sample_percent: int = Field(default=100, ge=1, le=100)
    """Below 100, only so many rows in a hundred are hashed (by primary key): a drill of such a set is `sampled`,
    never `passed`."""

    @model_validator(mode="after")
    def _tokens_only_over_tls(self) -> Self:
        if (self.password or "").startswith("rds-iam:") and self.sslmode in ("disable", "allow", "prefer"):
            raise ValueError(
                "a password of IAM (rds-iam:) may not go in the clear: set sslmode to verify-full, and sslrootcert"
            )
        return self
