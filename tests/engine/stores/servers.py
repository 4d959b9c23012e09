"""Real S3 servers on 127.0.0.1: moto, and independent ones where they are installed.

versitygw (Go): GOBIN=$PWD/.tools/bin go install github.com/versity/versitygw/cmd/versitygw@v1.8.0
s3rver (npm): npm install --prefix .tools s3rver@3.7.1
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.quick import starting

TOOLS = Path(__file__).parents[3] / ".tools"
KEY_VARIABLE, SECRET_VARIABLE = "STORES_TEST_ACCESS_KEY", "STORES_TEST_SECRET_KEY"
CANARY = "canary-5ecret-of-the-tests"


@dataclass(frozen=True)
class S3Server:
    """One running server and the keys it takes."""

    kind: str
    url: str
    access_key: str = "tester"
    secret_key: str = CANARY


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(argv: Sequence[str], port: int, environment: Mapping[str, str]) -> Iterator[None]:
    starting("S3 server")
    process = subprocess.Popen(
        argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **environment}
    )
    try:
        _await_port(process, port)
        yield
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_port(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, f"{process.args!r} ended with {process.returncode}"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"{process.args!r} does not listen on {port}")


@contextmanager
def moto(folder: Path) -> Iterator[S3Server]:
    del folder  # it keeps everything in memory
    port = free_port()
    argv = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with running(argv, port, {}):
        yield S3Server("moto", f"http://127.0.0.1:{port}")


@contextmanager
def versitygw(folder: Path) -> Iterator[S3Server]:
    port = free_port()
    for name in ("data", "versions"):
        (folder / name).mkdir()
    argv = [str(tool("bin/versitygw")), "--port", f"127.0.0.1:{port}", "--quiet", "--keep-alive", "posix"]
    argv += ["--versioning-dir", str(folder / "versions"), str(folder / "data")]
    with running(argv, port, {"ROOT_ACCESS_KEY": "tester", "ROOT_SECRET_KEY": CANARY}):
        yield S3Server("versitygw", f"http://127.0.0.1:{port}")


@contextmanager
def s3rver(folder: Path) -> Iterator[S3Server]:
    """A server of 2021, from before conditional writes; it lists no uploads, and keys in no order."""
    port = free_port()
    argv = [str(tool("node_modules/.bin/s3rver")), "-d", str(folder), "-a", "127.0.0.1", "-p", str(port)]
    with running([*argv, "-s", "--no-vhost-buckets"], port, {}):
        yield S3Server("s3rver", f"http://127.0.0.1:{port}", "S3RVER", "S3RVER")


SERVERS = {"moto": moto, "versitygw": versitygw, "s3rver": s3rver}


def tool(path: str) -> Path | None:
    """A program under `.tools`, or the one of that name on PATH."""
    if (TOOLS / path).exists():
        return TOOLS / path
    found = shutil.which(Path(path).name)
    return Path(found) if found else None


def missing(kind: str) -> str:
    """Why a server cannot be started here; empty when it can."""
    needs = {"versitygw": "bin/versitygw", "s3rver": "node_modules/.bin/s3rver"}
    if kind not in needs or tool(needs[kind]):
        return ""
    return f"{kind} is not installed; tests/engine/stores/servers.py says how"
