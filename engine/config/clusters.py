"""An application in a namespace of a Kubernetes cluster, as the configuration describes it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from engine.config.names import Name
from engine.config.platforms import absolute
from engine.secrets import SecretReference
from engine.settings_model import Frozen

_ROLLOUT_SECONDS = {"dev": 300.0, "staging": 300.0, "production": 600.0}


class EksSettings(Frozen):
    """A cluster of AWS: its address, CA and tokens are asked of AWS, with the credentials that boto3 finds."""

    cluster: Annotated[str, Field(pattern=r"^[0-9A-Za-z][A-Za-z0-9_-]{0,99}$")]
    """The EKS cluster's name."""
    region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")]
    """The AWS region it is in."""


class MigrationSettings(Frozen):
    """The application's database, and its SQL migrations."""

    directory: Annotated[str, AfterValidator(absolute)]
    """The folder with NNN_name.up.sql and NNN_name.down.sql."""
    host: str
    """The database server."""
    port: int = Field(default=5432, ge=1, le=65535)
    """Its port."""
    database: str = "kerp"
    """The database."""
    user: str = "kerp"
    """The role that owns its tables."""
    password: SecretReference | None = None
    """Where its password is; where nothing is said, aws:kerp/ENVIRONMENT/db-password in AWS Secrets Manager."""
    sslmode: Literal["disable", "require", "verify-ca", "verify-full"] = "require"
    """How the server is checked (libpq's sslmode)."""
    sslrootcert: str = ""
    """The file with the CA that signed the server's certificate; '' is libpq's own place."""
    lock_seconds: float = Field(default=60, gt=0, le=3600)
    """How long a statement of a migration waits for a lock before it fails, so that it holds up nobody for long."""


class ClusterSettings(Frozen):
    """One application in one namespace; nothing outside the namespace is touched."""

    namespace: Name
    """The namespace. It is not made here (stack/k8s/once)."""
    environment: Literal["dev", "staging", "production"] = "staging"
    """Which overlay and which secrets; production needs approval."""
    manifests: Annotated[str, AfterValidator(absolute)]
    """The folder with kustomization.yaml, or with plain manifests (*.yaml)."""
    kubeconfig: Annotated[str, AfterValidator(lambda value: absolute(value) if value else "")] = ""
    """The kubeconfig file; '' is $KUBECONFIG or ~/.kube/config."""
    context: str = ""
    """Which of its contexts; '' is the current one."""
    eks: EksSettings | None = None
    """A cluster of AWS, instead of a kubeconfig."""
    deployment: Name = "kerp-api"
    """The Deployment whose image a deploy sets."""
    rollout_seconds: float | None = Field(default=None, gt=0, le=86400)
    """How long a rollout may take; where nothing is said, 600 in production, else 300."""
    unschedulable_seconds: float = Field(default=120, gt=0, le=3600)
    """How long a pod may wait for a node (an autoscaler may bring one) before the rollout is given up."""
    smoke: tuple[str, ...] = ("wget", "-q", "-O-", "http://127.0.0.1:8080/health/ready")
    """What is run in a new pod after the rollout, and must end with 0; empty: nothing."""
    database_check: tuple[str, ...] = ()
    """What is run in a pod to check its database; where nothing is said, the smoke test."""
    approval: bool | None = None
    """Whether a person has to approve the plan of a deploy or rollback; where nothing is said, in production only."""
    approval_minutes: float = Field(default=60, gt=0, le=10080)
    """How long a plan waits for approval; then it is rejected."""
    backup: Name | None = None
    """The source that is backed up and verified before a migration."""
    migrations: MigrationSettings | None = None
    """The database, where migrations are run by a deploy or by kerp-migrate."""
    schedules: bool | None = None
    """Whether the month-end closing and the clearing of logs are scheduled here; where nothing is said, in production only."""
    notify: str = ""
    """The Prefect notification block (such as Slack) that is told how each run ended; '' is the one called `alerts`."""

    @property
    def needs_approval(self) -> bool:
        """Whether a person has to approve the plan."""
        return self.environment == "production" if self.approval is None else self.approval

    @property
    def has_schedules(self) -> bool:
        """Whether its jobs run by schedule."""
        return self.environment == "production" if self.schedules is None else self.schedules

    @property
    def wait_seconds(self) -> float:
        """How long a rollout may take."""
        return self.rollout_seconds or _ROLLOUT_SECONDS[self.environment]
