"""kill -9 of a writer: nothing has its final name, and the next sweep removes the rest."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from engine.stores.base import Store
from engine.stores.opening import open_store
from engine.stores.settings import FolderSettings, PlaceSettings
from tests.engine.stores.conftest import StartServer, new_bucket
from tests.engine.stores.proxy import Rule, proxy_to
from tests.engine.stores.test_contract import get, put

KEY = "platform/cluster/20260207T170000Z-3f9a1c/000-globals.sql.gz"
WRITER = """
import sys, time
from pydantic import TypeAdapter
from engine.stores.opening import open_store
from engine.stores.settings import PlaceSettings
store = open_store("nightly", TypeAdapter(PlaceSettings).validate_json(sys.argv[1]))
with store.writer(sys.argv[2]) as out:
    out.write(bytes(12 * 2**20))
    print("written", flush=True)
    time.sleep(60)
"""


def start_writer(settings: PlaceSettings) -> subprocess.Popen[str]:
    """A process that is in the middle of writing KEY."""
    argv = [sys.executable, "-c", WRITER, settings.model_dump_json(), KEY]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "written\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    with process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


def assert_a_next_run_works(store: Store) -> None:
    put(store, KEY, b"whole")
    assert get(store, KEY) == b"whole"
    assert list(store.keys()) == [KEY]


def test_of_a_folder(tmp_path: Path) -> None:
    settings = FolderSettings(path=str(tmp_path / "store"))
    store = open_store("nightly", settings)
    process = start_writer(settings)
    assert store.sweep() == 0  # it lives
    kill(process)
    assert list(store.keys()) == []
    assert store.sweep("platform/db/") == 0
    assert store.sweep("platform/") == 1
    assert list((tmp_path / "store").rglob("*")) == []
    assert_a_next_run_works(store)


@pytest.mark.parametrize("kind", ["moto", "versitygw"])
def test_of_a_bucket(kind: str, start_server: StartServer, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = new_bucket(start_server(kind), monkeypatch)
    settings = bucket.settings()
    store = open_store("nightly", settings)
    kill(start_writer(settings))
    assert list(store.keys()) == []
    assert bucket.uploads() == [KEY]
    assert store.sweep("platform/db/") == 0
    assert store.sweep("platform/") == 1
    assert (bucket.uploads(), bucket.marks(), bucket.object_keys()) == ([], [], [])
    assert_a_next_run_works(store)


class OnlyByExactKey(Rule):
    """MinIO: of the uploads under a prefix nothing is told, of those of one key all."""

    def takes(self, method: str, path: str) -> bool:
        query = parse_qs(urlsplit(path).query, keep_blank_values=True)
        exact = query.get("prefix", [""])[0].endswith(".gz")
        return "uploads" in query and not exact and super().takes(method, path)


def test_of_a_bucket_whose_server_lists_uploads_only_by_their_exact_key(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = new_bucket(start_server("versitygw"), monkeypatch)
    with proxy_to(bucket.server.url) as proxy:
        proxy.rules.append(OnlyByExactKey("GET", "uploads", "no-uploads", 100))
        settings = bucket.settings(endpoint_url=proxy.url, prefix="nightly/kecp")
        store = open_store("nightly", settings)
        kill(start_writer(settings))
        assert (list(store.keys()), bucket.uploads()) == ([], [f"nightly/kecp/{KEY}"])
        assert store.sweep("platform/db/") == 0
        assert store.sweep("platform/") == 1
        assert (bucket.uploads(), bucket.marks(), bucket.object_keys()) == ([], [], [])
        assert_a_next_run_works(store)
        with store.writer(KEY) as writer:
            writer.write(bytes(12 * 2**20))
            assert store.sweep("") == 0  # our own are spared
        assert (bucket.marks(), bucket.object_keys()) == ([], [f"nightly/kecp/{KEY}"])
