"""One damaged read condemns no set: a proxy flips one bit of one answer, then of another."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from engine.errors import PlatformOpsError, UnsteadyStore
from engine.reports.verify import verify_report
from engine.repository.catalogue import catalogue
from engine.repository.copying import copy_set
from engine.repository.keys import SetKey
from engine.repository.repository import Repository
from engine.repository.verify import VerifyRun, verify_set
from engine.sources.postgres.restore.choice import RestoreChoice
from engine.sources.postgres.restore.restore import restore_databases
from engine.sources.postgres.scratch.instance import Instance
from tests.engine.repository.made import MemoryStore
from tests.engine.sources.postgres.backups import Backup, back_up, drill, execute, put, read, server_of
from tests.engine.stores.buckets import S3Bucket
from tests.engine.stores.conftest import StartServer, new_bucket
from tests.engine.stores.proxy import Proxy, Rule, proxy_to
from tests.faults.conftest import DATABASE

SEED = 20261129


@dataclass
class Nth(Rule):
    """The answer to one GET is damaged: to the one after `free` others."""

    free: int = field(default=0, kw_only=True)

    def takes(self, method: str, path: str) -> bool:
        if not super().takes(method, path):
            return False
        if self.free:
            self.free -= 1
            self.injected -= 1
            return False
        return True


@dataclass(frozen=True)
class Damaging:
    """A backup in a bucket behind a proxy."""

    made: Backup
    proxy: Proxy
    bucket: S3Bucket

    @property
    def repository(self) -> Repository:
        return self.made.repository

    @property
    def key(self) -> SetKey:
        return self.made.key(DATABASE)

    def flip(self, part: str, free: int = 0, turns: int = 1) -> Nth:
        rule = Nth("GET", part, "flip", turns, free=free)
        self.proxy.rules[:] = [rule]
        return rule


@pytest.fixture(scope="module")
def damaging(fault_server: Instance, start_server: StartServer) -> Iterator[Damaging]:
    with pytest.MonkeyPatch.context() as patch:
        bucket = new_bucket(start_server("moto"), patch)
        with proxy_to(bucket.server.url) as proxy:
            server = server_of(fault_server, exclude=("postgres", "template1"))
            repository = Repository(bucket.store(endpoint_url=proxy.url))
            yield Damaging(back_up(server, repository, [DATABASE]), proxy, bucket)


def test_a_verification_reads_again_before_it_says_failed(damaging: Damaging) -> None:
    """Every one of its requests, four bits of each."""
    proxy, reported = damaging.proxy, 0
    proxy.rules.clear()
    proxy.requests.clear()
    assert verify_set(damaging.repository, damaging.key).result == "passed"
    requests = len(proxy.requests)
    assert requests > 4
    print(f"seed {SEED}")  # noqa: T201 - to repeat a failure
    proxy.chance = random.Random(SEED)  # noqa: S311
    for free in range(requests):
        for _ in range(4):
            rule = damaging.flip("", free)
            with suppress(PlatformOpsError):  # a listing that is no XML any more is no verdict
                report = verify_set(damaging.repository, damaging.key)
                assert report.result != "failed", report.sentence
                named = report.result == "passed" and "changes its answers, look at its disks" in report.sentence
                run = VerifyRun(report.result, (report,), report.read, 0)
                assert ("A store changed its answers" in verify_report(run).as_text()) is named
                reported += named
            assert rule.injected == 1
    assert reported > 4


def test_a_store_that_never_says_the_same_is_named_and_the_set_is_not_blamed(damaging: Damaging) -> None:
    damaging.flip("/app.dump.gz", turns=1000)
    report = verify_set(damaging.repository, damaging.key)
    assert report.result == "unverified"
    assert f"{damaging.repository.store.address} changes its answers" in report.sentence
    result = drill(damaging.repository, damaging.key)
    assert (result.result, "gave other bytes of app.dump.gz" in result.sentence) == ("unverified", True), (
        result.sentence
    )


@pytest.mark.parametrize("name", ["app.dump.gz", "app.proof.json", "000-globals.sql.gz", "manifest.json"])
def test_a_drill_begins_again_before_it_says_failed(damaging: Damaging, name: str) -> None:
    rule = damaging.flip(f"/{name}")
    result = drill(damaging.repository, damaging.key)
    assert (result.result, rule.injected) == ("passed", 1), result.sentence
    if name == "app.dump.gz":
        assert "gave other bytes of app.dump.gz" in result.remarks["begun again"]
    damaging.proxy.rules.clear()
    stored = catalogue(damaging.repository).sets
    assert [one.state for one in stored if one.key == damaging.key] == ["proven"]


def test_so_do_a_drill_of_plain_sql_a_restore_and_a_copy(damaging: Damaging, fault_server: Instance) -> None:
    rule = damaging.flip(".sql.gz", free=1)  # the one after the roles
    assert (drill(damaging.repository, damaging.made.cluster_key).result, rule.injected) == ("passed", 1)
    rule = damaging.flip("/app.dump.gz")
    choice = RestoreChoice(DATABASE, damaging.key)
    (one,) = restore_databases(damaging.repository, server_of(fault_server), [choice])
    execute(fault_server, "postgres", f'DROP DATABASE "{one.name}"')
    assert (one.rows, rule.injected) == (1010, 1)
    rule, other = damaging.flip("/app.dump.gz"), Repository(MemoryStore("offsite"))
    copy_set(damaging.repository, other, damaging.key)
    assert (verify_set(other, damaging.key).result, rule.injected) == ("passed", 1)


def test_what_is_stored_wrong_is_still_failed_at_once(damaging: Damaging) -> None:
    damaging.proxy.rules.clear()
    where = damaging.key.prefix + "app.dump.gz"
    whole = read(damaging.repository, where)
    put(damaging.repository, where, whole[:-9] + b"X" + whole[-8:])
    try:
        assert verify_set(damaging.repository, damaging.key).result == "failed"
        assert drill(damaging.repository, damaging.key).result == "failed"
    finally:
        put(damaging.repository, where, whole)


def test_a_checksum_that_the_server_gives_is_asked_for_and_compared(damaging: Damaging) -> None:
    """Off AWS too: of an object that whoever wrote it gave one."""
    bucket, where = damaging.bucket, damaging.key.prefix + "of-another"
    bucket.client.put_object(Bucket=bucket.name, Key=where, Body=b"some bytes", ChecksumAlgorithm="SHA256")
    rule = damaging.flip("/of-another")
    try:
        with pytest.raises(UnsteadyStore, match="differs from its checksum"):
            read(damaging.repository, where)
        assert rule.injected == 1
        assert read(damaging.repository, where) == b"some bytes"
    finally:
        bucket.client.delete_object(Bucket=bucket.name, Key=where)
