"""S3 that resets, stalls, answers nonsense or loses its answer: injected between store and server."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from engine.errors import ConfigurationError, OperationFailed, TransientFailure
from engine.stores.s3 import S3Store
from tests.engine.stores.buckets import IMPATIENT, MIB, S3Bucket
from tests.engine.stores.conftest import StartServer, new_bucket
from tests.engine.stores.proxy import Fault, Proxy, proxy_to
from tests.engine.stores.servers import CANARY

KEY = "platform/cluster/20260207T170000Z-3f9a1c/000-globals.sql.gz"
BOUND_SECONDS = 10  # two attempts of IMPATIENT for the call, then the look and the abort
DATA = random.Random(5).randbytes(12 * MIB)  # noqa: S311
SMALL = DATA[:1000]


@dataclass
class Fire:
    """A store that reaches its server through a proxy, and the way past it."""

    bucket: S3Bucket
    proxy: Proxy
    store: S3Store

    def write(self, data: bytes) -> None:
        with self.store.writer(KEY) as out:
            out.write(data)

    def read(self) -> bytes:
        with self.store.reader(KEY) as source:
            return b"".join(iter(lambda: source.read(MIB), b""))


@pytest.fixture(params=["moto", "versitygw"])
def fire(request: pytest.FixtureRequest, start_server: StartServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fire]:
    with _on_fire(new_bucket(start_server(request.param), monkeypatch)) as made:
        yield made


@pytest.fixture
def fire_on_moto(moto: S3Bucket) -> Iterator[Fire]:
    """For what has nothing to do with the server behind the proxy."""
    with _on_fire(moto) as made:
        yield made


@contextmanager
def _on_fire(bucket: S3Bucket) -> Iterator[Fire]:
    with proxy_to(bucket.server.url) as proxy:
        yield Fire(bucket, proxy, bucket.store(IMPATIENT, endpoint_url=proxy.url))


FAULTS: list[Fault] = ["reset", "stall", "500"]
STEPS = [
    ("PUT", "3f9a1c/000", SMALL),  # the single request of a small object
    ("POST", "?uploads", DATA),
    ("PUT", "partNumber=2", DATA),
    ("POST", "?uploadId=", DATA),
]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("method", "part", "data"), STEPS, ids=["put", "begin", "part", "complete"])
def test_a_lasting_fault_is_one_sentence_in_bounded_time_and_leaves_nothing(
    fire_on_moto: Fire, method: str, part: str, data: bytes, fault: Fault
) -> None:
    fire_on_moto.proxy.inject(method, part, fault)
    begun = time.monotonic()
    with pytest.raises(TransientFailure) as raised:
        fire_on_moto.write(data)
    assert time.monotonic() - begun < BOUND_SECONDS
    assert KEY in str(raised.value)
    assert "'nightly'" in str(raised.value)
    assert fire_on_moto.bucket.object_keys() == []
    assert fire_on_moto.bucket.uploads() == []


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("method", "part", "data"), STEPS, ids=["put", "begin", "part", "complete"])
def test_a_fault_of_the_moment_is_not_noticed(
    fire_on_moto: Fire, method: str, part: str, data: bytes, fault: Fault
) -> None:
    rule = fire_on_moto.proxy.inject(method, part, fault, turns=1)
    fire_on_moto.write(data)
    assert rule.injected == 1
    assert fire_on_moto.read() == data
    assert fire_on_moto.bucket.uploads() == []


@pytest.mark.parametrize(("method", "part", "data"), STEPS, ids=["put", "begin", "part", "complete"])
def test_an_answer_lost_after_the_work_does_not_spoil_it(fire: Fire, method: str, part: str, data: bytes) -> None:
    rule = fire.proxy.inject(method, part, "lose-answer", turns=1)
    fire.write(data)
    assert rule.injected == 1
    assert fire.read() == data
    # An upload whose very id was lost is all that can stay; the next run's sweep takes it.
    assert fire.store.sweep("platform/") == (1 if part == "?uploads" else 0)
    assert (fire.bucket.uploads(), fire.bucket.marks()) == ([], [])
    assert fire.read() == data


@pytest.mark.parametrize(("method", "part", "data"), [STEPS[0], STEPS[3]], ids=["put", "complete"])
def test_work_that_was_done_counts_though_every_answer_is_lost(fire: Fire, method: str, part: str, data: bytes) -> None:
    rule = fire.proxy.inject(method, part, "lose-answer")
    fire.write(data)
    assert rule.injected == 2
    assert fire.read() == data


def test_an_error_inside_a_good_status_is_an_error(fire: Fire) -> None:
    rule = fire.proxy.inject("POST", "?uploadId=", "200-with-error", turns=1)
    fire.write(DATA)
    assert rule.injected == 1
    assert fire.read() == DATA


def test_an_error_inside_a_good_status_that_stays_leaves_nothing(fire: Fire) -> None:
    fire.proxy.inject("POST", "?uploadId=", "200-with-error")
    with pytest.raises(TransientFailure, match="InternalError"):
        fire.write(DATA)
    assert fire.bucket.object_keys() == []
    assert fire.bucket.uploads() == []


def test_a_refused_part_fails_at_once_and_is_not_tried_again(fire: Fire) -> None:
    rule = fire.proxy.inject("PUT", "partNumber=2", "refuse")
    with pytest.raises(OperationFailed, match=r"part 2 .*EntityTooSmall") as raised:
        fire.write(DATA)
    assert raised.value.retryable is False
    assert rule.injected == 1
    assert fire.bucket.object_keys() == []
    assert fire.bucket.uploads() == []


def test_a_server_that_dies_while_writing_leaves_what_the_sweep_removes(fire: Fire) -> None:
    fire.proxy.inject("PUT", "partNumber=2", "reset")
    fire.proxy.inject("DELETE", "uploadId=", "reset")
    with pytest.raises(TransientFailure, match="part 2"):
        fire.write(DATA)
    assert fire.bucket.object_keys() == []
    assert fire.bucket.uploads() == [KEY]
    assert fire.bucket.store().sweep("platform/db/") == 0
    assert fire.bucket.uploads() == [KEY]
    assert fire.bucket.store().sweep("platform/cluster/") == 1
    assert fire.bucket.uploads() == []


def test_an_upload_that_is_being_written_here_is_not_swept(fire: Fire) -> None:
    with fire.store.writer(KEY) as out:
        out.write(DATA)
        assert fire.store.sweep() == 0
    assert fire.read() == DATA


def test_a_lease_whose_answer_was_lost_is_ours(fire: Fire) -> None:
    fire.proxy.inject("PUT", "leases/prune", "lose-answer", turns=1)
    assert fire.store.create("leases/prune", b"me") is True
    assert fire.store.create("leases/prune", b"me") is False


def test_a_lost_or_failed_delete_is_repeated(fire: Fire) -> None:
    fire.write(SMALL)
    fire.proxy.inject("POST", "?delete", "500", turns=1)
    assert fire.store.delete([KEY]).deleted == (KEY,)
    fire.write(SMALL)
    fire.proxy.inject("POST", "?delete", "lose-answer", turns=1)
    assert fire.store.delete([KEY]).deleted == (KEY,)
    assert fire.bucket.object_keys() == []


def test_reading_goes_on_where_the_connection_broke(fire: Fire) -> None:
    fire.write(DATA)
    fire.proxy.inject("GET", KEY, "cut", turns=3)
    assert fire.read() == DATA


@pytest.mark.parametrize("fault", ["reset", "stall", "500"])
def test_reading_gives_up_in_bounded_time(fire_on_moto: Fire, fault: Fault) -> None:
    fire_on_moto.write(DATA)
    fire_on_moto.proxy.inject("GET", KEY, "cut", turns=1)
    fire_on_moto.proxy.inject("GET", KEY, fault)
    begun = time.monotonic()
    with pytest.raises(TransientFailure, match=KEY):
        fire_on_moto.read()
    assert time.monotonic() - begun < BOUND_SECONDS


def test_an_object_replaced_while_it_is_read_is_not_mixed(fire: Fire) -> None:
    fire.write(DATA)
    fire.proxy.inject("GET", KEY, "cut", turns=1)
    with pytest.raises(OperationFailed, match="replaced"), fire.store.reader(KEY) as source:
        source.read(MIB)
        fire.write(DATA[::-1])
        while source.read(MIB):
            pass


@pytest.mark.parametrize("checksums", ["when_required", "when_supported"])
@pytest.mark.parametrize(("method", "part", "data"), [STEPS[0], STEPS[2]], ids=["put", "part"])
def test_bytes_damaged_on_the_way_are_refused_by_the_server(
    start_server: StartServer,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    part: str,
    data: bytes,
    checksums: str,
) -> None:
    bucket = new_bucket(start_server("versitygw"), monkeypatch)  # moto looks at no digest
    with proxy_to(bucket.server.url) as proxy:
        through = Fire(bucket, proxy, bucket.store(IMPATIENT, endpoint_url=proxy.url, checksums=checksums))
        proxy.inject(method, part, "damage")
        with pytest.raises(OperationFailed):
            through.write(data)
        assert bucket.object_keys() == []
        assert bucket.uploads() == []
        proxy.rules.clear()
        through.write(data)
        assert through.read() == data


def test_listing_and_sweeping_say_what_happened(fire_on_moto: Fire) -> None:
    fire_on_moto.proxy.inject("GET", "", "500")
    with pytest.raises(TransientFailure, match="Listing platform/ failed"):
        list(fire_on_moto.store.keys("platform/"))
    with pytest.raises(TransientFailure, match="Sweeping platform/ failed"):
        fire_on_moto.store.sweep("platform/")


def test_what_does_not_speak_s3_is_named(fire_on_moto: Fire) -> None:
    fire_on_moto.proxy.inject("GET", "", "html")
    with pytest.raises(TransientFailure, match="without a word of S3; check endpoint_url"):
        list(fire_on_moto.store.keys())


def test_no_message_repeats_a_secret(fire_on_moto: Fire) -> None:
    messages: list[str] = []
    for fault in ("reset", "500", "refuse", "html"):
        fire_on_moto.proxy.rules.clear()
        for method in ("GET", "PUT", "POST"):
            fire_on_moto.proxy.inject(method, "", fault)
        for act in (
            lambda: fire_on_moto.write(SMALL),
            lambda: list(fire_on_moto.store.list()),
            fire_on_moto.store.sweep,
        ):
            with pytest.raises((OperationFailed, ConfigurationError)) as raised:
                act()
            messages.append(repr(raised.value) + repr(raised.value.__cause__))
    assert len(messages) == 12
    assert CANARY not in "".join(messages)
