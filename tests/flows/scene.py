"""What the tests with real workers play on: an installation, a PostgreSQL with a password, stores, secrets."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import boto3
import psycopg
import pyrage
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    DeploymentFilter,
    DeploymentFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType

from engine.config.settings import FolderStore, S3Store, Settings
from engine.repository.catalogue import catalogue
from engine.repository.repository import open_repository
from engine.repository.stored import Catalogue
from engine.sources.postgres.programs.installed import server_programs
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.scratch.socket_and_port import free_port
from engine.sources.postgres.settings import ServerSettings
from engine.sources.registry import default_retention
from engine.streams.spool import temporary_base
from tests.conftest import MAJOR, WORKER
from tests.engine.stores.servers import moto
from tests.flows.installation import Installation, installed

_IMPATIENT = {"PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "3"}


@dataclass(frozen=True)
class Scene:
    """`secrets` are the canaries by name, each in the file of that name, and nowhere else."""

    installation: Installation
    instance: Instance
    folder: Path
    settings: Settings
    secrets: dict[str, str]

    @property
    def temporary(self) -> Path:
        """Where scratch servers and spools are made."""
        return self.folder / "tmp"

    def sql(self, database: str, *statements: str) -> list[tuple[object, ...]]:
        """Run statements; the rows of the last one."""
        with psycopg.connect(self.instance.conninfo(database), autocommit=True) as connection:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def workers(self, *pools: str) -> Iterator[None]:
        """A worker for each of these pools; those that run afterwards are killed."""
        for pool in pools:
            self.installation.start_worker(pool)
        try:
            yield
        finally:
            for pool in pools:
                if pool in self.installation.processes:
                    self.installation.kill(pool)

    def record(self, run: UUID) -> str:
        """The one artifact that the run leaves for people."""
        with self.installation.client() as client:
            found = client.read_artifacts(
                artifact_filter=ArtifactFilter(
                    flow_run_id=ArtifactFilterFlowRunId(any_=[run]), key=ArtifactFilterKey(exists_=True)
                )
            )
        [record] = found
        return str(record.data)

    def slots(self, deployment: str) -> int:
        """How many runs stand in the way of the deployment's next one."""
        going = FlowRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING, StateType.CANCELLING])
        with self.installation.client() as client:
            found = client.read_flow_runs(
                deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=[deployment])),
                flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=going)),
            )
        return len(found)

    def stored(self, store: str, server: str) -> Catalogue:
        return catalogue(open_repository(store, self.settings.stores[store]), server)


@contextmanager
def set_up(private: Path) -> Iterator[Scene]:
    """All of it. The servers `platform`, `sealed` (a keyed digest, a copy in a bucket) and `wrong` (a wrong
    password) are one PostgreSQL; the store `misread` is that of `sealed` with wrong keys."""
    folder = Path(tempfile.mkdtemp(prefix="po-scene-", dir=temporary_base()))
    folder.chmod(0o711)  # the account of PostgreSQL's servers goes through it
    (folder / "tmp").mkdir(mode=0o711)
    secrets = {name: f"canary-{name}-9d41" for name in ("password", "wrong", "access", "store", "digest")}
    keys = {name: pyrage.x25519.Identity.generate() for name in ("identity", "other")}
    secrets |= {name: str(key) for name, key in keys.items()} | {"guess": "canary-guess-9d41"}
    for name, text in secrets.items():
        (private / name).write_text(text)
        (private / name).chmod(0o600)
    try:
        with moto(folder) as bucket, _source(folder / "pg", secrets["password"]) as instance:
            _fill(instance)
            settings = _settings(folder, private, instance.port, bucket.url, str(keys["identity"].to_public()))
            with installed(folder / "ops", settings, TMPDIR=str(folder / "tmp"), **_IMPATIENT) as installation:
                yield Scene(installation, instance, folder, settings, secrets)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _source(folder: Path, password: str) -> Iterator[Instance]:
    settings = {"fsync": "off"}
    server = Instance(
        folder,
        server_programs(MAJOR),
        port=free_port(23_500 + WORKER * 20),
        listen="127.0.0.1",
        settings=settings,
    )
    server.create(password=password, sync=False)
    server.start()
    try:
        yield server
    finally:
        server.remove()


def _fill(instance: Instance) -> None:
    """`large` takes long enough to dump that a process can be stopped at it; `small` does not."""
    with psycopg.connect(instance.conninfo(), autocommit=True) as admin:
        admin.execute("CREATE DATABASE large")
        admin.execute("CREATE DATABASE small")
    for database, rows in (("large", 60_000), ("small", 100)):
        with psycopg.connect(instance.conninfo(database), autocommit=True) as connection:
            connection.execute(
                "CREATE TABLE note AS SELECT i AS id, (SELECT string_agg(md5(i::text || j), '') "
                f"FROM generate_series(1, 20) AS j) AS body FROM generate_series(1, {rows}) AS i"
            )


def _settings(folder: Path, private: Path, port: int, bucket_url: str, recipient: str) -> Settings:
    def secret(name: str) -> str:
        return f"file:{private / name}"

    boto3.client(
        "s3",
        endpoint_url=bucket_url,
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
    ).create_bucket(Bucket="offsite")
    server = ServerSettings(port=port, password=secret("password"), store="nightly", stall_minutes=0.1, jobs=2)
    tagged = FolderStore(
        path=str(folder / "sealed"),
        recipients=(recipient,),
        identity=secret("identity"),
        digest_key=secret("digest"),
        retention=default_retention(),
    )
    return Settings(
        sources={
            "platform": server,
            "sealed": server.model_copy(update={"store": "sealed", "copies": ("offsite",)}),
            "wrong": server.model_copy(update={"password": secret("wrong")}),
        },
        stores={
            "nightly": FolderStore(path=str(folder / "nightly"), retention=default_retention()),
            "sealed": tagged,
            "misread": tagged.model_copy(update={"identity": secret("other")}),
            "forged": tagged.model_copy(update={"digest_key": secret("guess")}),
            "offsite": S3Store(
                bucket="offsite",
                endpoint_url=bucket_url,
                access_key=secret("access"),
                secret_key=secret("store"),
                recipients=(recipient,),
                identity=secret("identity"),
                digest_key=secret("digest"),
                retention=default_retention(),
            ),
        },
    )
