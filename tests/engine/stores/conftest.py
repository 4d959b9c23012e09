"""A folder, and one S3 store for each server that is installed; each test has a place of its own."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from engine.stores.base import Store
from engine.stores.opening import open_store
from engine.stores.s3 import S3Store
from engine.stores.settings import FolderSettings
from tests.engine.stores.buckets import S3Bucket
from tests.engine.stores.servers import KEY_VARIABLE, SECRET_VARIABLE, SERVERS, S3Server, missing

_numbers = itertools.count()
StartServer = Callable[[str], S3Server]


@pytest.fixture(scope="session")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartServer]:
    """Start a server by its kind, once in a session."""
    started: dict[str, S3Server] = {}
    with ExitStack() as stack:

        def start(kind: str) -> S3Server:
            if kind not in started:
                reason = missing(kind)
                if reason and os.environ.get("CI") == "true":
                    pytest.fail(f"{reason}; .ci/s3-servers installs it")
                if reason:
                    pytest.skip(reason)
                started[kind] = stack.enter_context(SERVERS[kind](tmp_path_factory.mktemp(kind)))
            return started[kind]

        yield start


def new_bucket(server: S3Server, monkeypatch: pytest.MonkeyPatch, **options: Any) -> S3Bucket:
    """An empty bucket on `server`; `options` is what else create_bucket takes."""
    monkeypatch.setenv(KEY_VARIABLE, server.access_key)
    monkeypatch.setenv(SECRET_VARIABLE, server.secret_key)
    bucket = S3Bucket(server, f"bucket-{os.getpid()}-{next(_numbers)}")
    bucket.client.create_bucket(Bucket=bucket.name, **options)
    return bucket


@pytest.fixture(params=["moto", "versitygw", "s3rver"])
def bucket(request: pytest.FixtureRequest, start_server: StartServer, monkeypatch: pytest.MonkeyPatch) -> S3Bucket:
    """An empty bucket on each kind of server."""
    return new_bucket(start_server(request.param), monkeypatch)


@pytest.fixture
def moto(start_server: StartServer, monkeypatch: pytest.MonkeyPatch) -> S3Bucket:
    """An empty bucket on moto, for what need not be repeated on every server."""
    return new_bucket(start_server("moto"), monkeypatch)


@pytest.fixture
def s3(bucket: S3Bucket) -> S3Store:
    return bucket.store(prefix="nightly/kecp")


@pytest.fixture(params=["folder", "moto", "versitygw", "s3rver"])
def store_kind(request: pytest.FixtureRequest) -> str:
    """What `store` is on."""
    return str(request.param)


@pytest.fixture
def store(store_kind: str, tmp_path: Path, start_server: StartServer, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty store of each kind, opened as the product opens it."""
    if store_kind == "folder":
        return open_store("nightly", FolderSettings(path=str(tmp_path / "store")))
    made = new_bucket(start_server(store_kind), monkeypatch)
    return open_store("nightly", made.settings(prefix="nightly/kecp"))
