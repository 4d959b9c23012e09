"""An S3 site behind a proxy that holds the command up at a chosen request, so that it can be killed just there."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from engine.repository.catalogue import catalogue
from engine.repository.lease import lease
from engine.repository.parsing import parse_set_key
from engine.repository.repository import Repository
from engine.repository.verify import verify_set
from tests.engine.stores.buckets import S3Bucket
from tests.engine.stores.proxy import Proxy, Rule
from tests.faults.site import FaultSite

PATIENCE_SECONDS = 60.0


@dataclass
class Gate(Rule):
    """Holds every request that matches the regular expression `part`, but for the first `free` ones."""

    free: int = field(default=0, kw_only=True)

    def takes(self, method: str, path: str) -> bool:
        if method != self.method or not re.search(self.part, unquote(path)):
            return False
        if self.free:
            self.free -= 1
            return False
        self.injected += 1
        return True


@dataclass(frozen=True)
class Gated:
    """`site` writes to the bucket of `first` and copies to that of `second`, both through `proxy`."""

    site: FaultSite
    proxy: Proxy
    first: S3Bucket
    second: S3Bucket

    def kill_at(self, gate: Gate, *arguments: str) -> None:
        """Start the command, and kill it with -9 when it waits at the gate; the gate is open afterwards."""
        self.proxy.rules.append(gate)
        try:
            self.kill_when(lambda: gate.injected > 0, *arguments)
        finally:
            self.proxy.rules.remove(gate)

    def kill_when(self, reached: Callable[[], bool], *arguments: str) -> None:
        process = self.site.start(*arguments)
        try:
            wait_for(lambda: reached() or process.poll() is not None)
            assert process.poll() is None, f"it ended with {process.returncode} before it came there"
        finally:
            process.kill()
            process.wait()

    def repository(self, bucket: S3Bucket) -> Repository:
        return Repository(bucket.store())

    def files(self, bucket: S3Bucket) -> list[str]:
        """Every file of a set, whole or half."""
        return [key for key in bucket.object_keys() if parse_set_key(key)]

    def assert_whole(self, bucket: S3Bucket) -> int:
        """Every set that can be seen is whole; how many there are."""
        repository = self.repository(bucket)
        sets = catalogue(repository).sets
        for one in sets:
            assert verify_set(repository, one.key).result == "passed"
        return len(sets)

    def assert_tidy(self, bucket: S3Bucket) -> None:
        """Nothing half, no unfinished upload, and no lease that somebody would have to wait for."""
        repository = self.repository(bucket)
        assert catalogue(repository).incomplete == ()
        assert bucket.uploads() == []
        for name in ("prune", "drill"):
            with lease(repository.store, "platform", name, "the test"):
                pass


def wait_for(reached: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, "it did not come there in time"
        time.sleep(0.01)


def kept_in(folder: Path) -> list[str]:
    """What a command left of its own in `$TMPDIR`."""
    return sorted(path.name for path in folder.glob("platform-ops-*"))
