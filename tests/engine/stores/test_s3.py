"""What is particular to S3: parts, what requests carry, object lock, and what servers refuse."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engine.errors import ConfigurationError, TransientFailure
from engine.stores.base import Deletion
from engine.stores.opening import open_store
from engine.stores.s3_client import Patience, open_bucket
from engine.stores.s3_parts import first_part_size, next_part_size
from engine.stores.settings import S3Settings
from tests.engine.stores.buckets import IMPATIENT, MIB, S3Bucket
from tests.engine.stores.conftest import StartServer, new_bucket
from tests.engine.stores.proxy import proxy_to
from tests.engine.stores.servers import CANARY, SECRET_VARIABLE, free_port
from tests.engine.stores.test_contract import get, put

GIB = 2**30
KEY = "platform/cluster/20260207T170000Z-3f9a1c/000-globals.sql.gz"


@pytest.mark.parametrize(
    ("expected", "max_parts", "part"),
    [
        (None, 10_000, 8 * MIB),
        (0, 10_000, 8 * MIB),
        (10 * GIB, 10_000, 8 * MIB),
        (10 * GIB, 1_000, 12 * MIB),
        (1024 * GIB, 10_000, 116 * MIB),
    ],
)
def test_parts_are_large_enough_for_what_is_expected(expected: int | None, max_parts: int, part: int) -> None:
    assert first_part_size(expected, 8 * MIB, max_parts) == part


@pytest.mark.parametrize(("max_parts", "total"), [(10_000, 800 * GIB), (1_000, 80 * GIB), (100, 8 * GIB)])
def test_parts_grow_when_more_comes_than_was_expected(max_parts: int, total: int) -> None:
    size, written, parts = 8 * MIB, 0, 0
    while written < total:
        written, parts = written + size, parts + 1
        assert next_part_size(size, written, max_parts) >= size
        size = next_part_size(size, written, max_parts)
    assert parts <= max_parts


def test_a_part_that_no_thread_could_send_holds_up_no_other_upload(moto: S3Bucket) -> None:
    store = moto.store(parts_in_flight=1)
    usual = threading.stack_size(1 << 47)  # more than a process can address
    try:
        with pytest.raises(RuntimeError, match="can't start new thread"):
            put(store, "lost", bytes(6 * MIB))
    finally:
        threading.stack_size(usual)
    other = threading.Thread(target=put, args=(store, KEY, bytes(6 * MIB)), daemon=True)
    other.start()
    other.join(20)
    assert list(store.keys()) == [KEY]
    assert moto.uploads() == []


def test_small_objects_take_one_request_and_large_ones_parts(moto: S3Bucket) -> None:
    with proxy_to(moto.server.url) as proxy:
        store = moto.store(endpoint_url=proxy.url)
        put(store, "small", bytes(5 * MIB - 1))
        assert [request.split()[0] for request in proxy.requests] == ["PUT"]
        proxy.requests.clear()
        put(store, "large", bytes(11 * MIB))
        methods = [request.split()[0] for request in proxy.requests]
        assert methods == ["PUT", "POST", "PUT", "PUT", "PUT", "POST", "HEAD", "DELETE"]  # a mark, then the upload


def test_a_thousand_keys_take_one_request(moto: S3Bucket) -> None:
    with proxy_to(moto.server.url) as proxy:
        store = moto.store(endpoint_url=proxy.url)
        keys = [f"platform/cluster/{number}/manifest.json" for number in range(2_001)]
        assert store.delete(keys) == Deletion(tuple(keys), ())
        assert [request.split("?")[1] for request in proxy.requests] == ["object-lock", *["delete"] * 3]
        proxy.requests.clear()
        assert list(store.keys("platform/")) == []
        assert len(proxy.requests) == 1


def test_keys_of_others_in_the_bucket_are_left_alone(bucket: S3Bucket) -> None:
    for key in ("other/x", "nightly-2/x", "nightly/.hidden", "nightly/a b", "nightly/folder/"):
        bucket.client.put_object(Bucket=bucket.name, Key=key, Body=b"")
    store = bucket.store(prefix="/nightly/")
    assert store.address == f"s3://{bucket.name}/nightly"
    put(store, "x")
    assert list(store.keys()) == ["x"]
    store.delete(["x"])
    assert sorted(bucket.object_keys()) == [
        "nightly-2/x",
        "nightly/.hidden",
        "nightly/a b",
        "nightly/folder/",
        "other/x",
    ]


@pytest.mark.parametrize(
    ("checksums", "sent", "not_sent"),
    [
        ("when_required", "content-md5", "x-amz-checksum-sha256"),
        ("when_supported", "x-amz-checksum-sha256", "content-md5"),
    ],
)
def test_every_body_goes_with_a_checksum_the_server_knows(
    moto: S3Bucket, checksums: str, sent: str, not_sent: str
) -> None:
    with proxy_to(moto.server.url) as proxy:
        store = moto.store(endpoint_url=proxy.url, checksums=checksums)
        put(store, "small", b"small")
        put(store, "large", bytes(6 * MIB))
        store.create("lease", b"me")
        pairs = zip(proxy.requests, proxy.headers, strict=True)
        bodies = [headers for request, headers in pairs if request.startswith("PUT ")]
        assert [sent in headers for headers in bodies] == [True] * 5
        assert not any(not_sent in headers or "x-amz-trailer" in headers for headers in bodies)
        proxy.headers.clear()
        store.delete(["small", "large"])
        assert ("content-md5" in proxy.headers[-1]) is (checksums == "when_required")
        assert ("x-amz-checksum-crc32" in proxy.headers[-1]) is (checksums == "when_supported")


@pytest.mark.parametrize("checksums", ["when_supported", "when_required"])
def test_both_generations_of_checksums(bucket: S3Bucket, checksums: str) -> None:
    store = bucket.store(checksums=checksums)
    data = bytes(range(256)) * 4096 * 6
    put(store, "large", data)
    put(store, "small", b"small")
    assert get(store, "large") == data
    assert get(store, "small") == b"small"
    assert store.create("lease", b"me") is True
    assert store.delete(["large", "small", "lease"]).deleted == ("large", "small", "lease")
    assert bucket.object_keys() == []


@pytest.mark.parametrize("size", [10, 6 * MIB])
def test_objects_are_encrypted_at_rest_when_asked(moto: S3Bucket, size: int) -> None:
    put(moto.store(encryption="AES256"), "aes", bytes(size))
    put(moto.store(encryption="aws:kms", kms_key_id="alias/backups"), "kms", bytes(size))
    found = moto.client.head_object(Bucket=moto.name, Key="aes")
    assert found["ServerSideEncryption"] == "AES256"
    found = moto.client.head_object(Bucket=moto.name, Key="kms")
    assert (found["ServerSideEncryption"], found["SSEKMSKeyId"]) == ("aws:kms", "alias/backups")


@pytest.fixture(params=["moto", "versitygw"])
def locking(request: pytest.FixtureRequest, start_server: StartServer, monkeypatch: pytest.MonkeyPatch) -> S3Bucket:
    """A bucket with object lock."""
    return new_bucket(start_server(request.param), monkeypatch, ObjectLockEnabledForBucket=True)


# moto forgets the lock of a multipart upload.
@pytest.mark.parametrize(
    ("locking", "size"), [("moto", 10), ("versitygw", 10), ("versitygw", 6 * MIB)], indirect=["locking"]
)
def test_a_locked_object_is_retained_and_stays_visible(locking: S3Bucket, size: int) -> None:
    store = locking.store(prefix="nightly", lock_mode="GOVERNANCE", lock_days=3)
    put(store, "set/file", bytes(size))
    put(store, "set/file-2", b"")
    found = locking.client.head_object(Bucket=locking.name, Key="nightly/set/file")
    assert found["ObjectLockMode"] == "GOVERNANCE"
    until = datetime.now(UTC) + timedelta(days=3)
    assert abs(found["ObjectLockRetainUntilDate"] - until) < timedelta(minutes=1)
    assert store.delete(["set/file", "set/gone"]) == Deletion(("set/gone",), ("set/file",))
    assert list(store.keys()) == ["set/file", "set/file-2"]
    _release(locking, "nightly/set/file")
    assert store.delete(["set/file"]) == Deletion(("set/file",), ())
    assert _versions(locking) == ["nightly/set/file-2"]


def test_a_lease_is_never_locked_and_goes_without_a_trace(locking: S3Bucket) -> None:
    store = locking.store(lock_mode="COMPLIANCE", lock_days=3)
    assert store.create("leases/prune", b"me") is True
    assert store.delete(["leases/prune"]) == Deletion(("leases/prune",), ())
    assert _versions(locking) == []
    assert store.create("leases/prune", b"other") is True


def test_an_old_version_never_comes_back(locking: S3Bucket) -> None:
    put(locking.store(lock_mode="GOVERNANCE", lock_days=3), "set/file", b"first")
    store = locking.store()  # as after the lock was taken out of the settings: the bucket still has it
    put(store, "set/file", b"second")
    assert store.delete(["set/file"]) == Deletion((), ("set/file",))
    assert get(store, "set/file") == b"second"


def _release(bucket: S3Bucket, key: str) -> None:
    """Let the lock of `key` end now, as if its days were over."""
    for version in bucket.client.list_object_versions(Bucket=bucket.name, Prefix=key)["Versions"]:
        if version["Key"] == key:
            bucket.client.delete_object(
                Bucket=bucket.name, Key=key, VersionId=version["VersionId"], BypassGovernanceRetention=True
            )
    bucket.client.put_object(Bucket=bucket.name, Key=key, Body=b"as it was")


def _versions(bucket: S3Bucket) -> list[str]:
    found = bucket.client.list_object_versions(Bucket=bucket.name)
    return sorted(item["Key"] for item in (*found.get("Versions", ()), *found.get("DeleteMarkers", ())))


def test_a_missing_bucket_is_a_matter_of_configuration(bucket: S3Bucket) -> None:
    store = bucket.store(bucket="there-is-none-such")
    for act in (lambda: put(store, KEY), lambda: list(store.keys()), lambda: store.delete([KEY])):
        with pytest.raises(ConfigurationError, match=r"there is no bucket for store 'nightly'.*NoSuchBucket"):
            act()


def test_a_wrong_key_is_a_matter_of_configuration_and_is_not_shown(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = new_bucket(start_server("versitygw"), monkeypatch)  # moto takes any key
    monkeypatch.setenv(SECRET_VARIABLE, CANARY + "-but-wrong")
    store = bucket.store()
    for act in (
        lambda: put(store, KEY),
        lambda: put(store, KEY, bytes(6 * MIB)),
        lambda: list(store.keys()),
        lambda: store.create(KEY, b""),
        lambda: store.sweep(),
        lambda: get(store, KEY),
    ):
        with pytest.raises(ConfigurationError, match=r"refused access \(\w+\); check access_key") as raised:
            act()
        assert CANARY not in repr(raised.value)


def test_a_server_that_is_not_there_is_said_at_once(moto: S3Bucket) -> None:
    store = moto.store(IMPATIENT, endpoint_url=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(TransientFailure, match="cannot be reached; check that it runs and that endpoint_url"):
        put(store, KEY)


@pytest.mark.parametrize(
    "endpoint", ["localhost:9000", "ftp://s3.example.com", "http://", f"https://u:{CANARY}@s3.example.com"]
)
def test_an_address_that_is_none_is_refused_and_not_repeated(moto: S3Bucket, endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match="endpoint_url of store 'nightly'") as raised:
        moto.store(endpoint_url=endpoint)
    assert CANARY not in str(raised.value)


def test_a_secret_that_is_not_there_is_said_when_opening(moto: S3Bucket) -> None:
    with pytest.raises(ConfigurationError, match="env:NOT_THERE is not set"):
        moto.store(secret_key="env:NOT_THERE")


def test_half_of_the_credentials_are_refused(moto: S3Bucket) -> None:
    with pytest.raises(ConfigurationError, match="only one of access_key and secret_key"):
        moto.store(secret_key=None)


def test_no_credentials_at_all_is_said(moto: S3Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    store = moto.store(access_key=None, secret_key=None)
    with pytest.raises(ConfigurationError, match="No credentials were found for store 'nightly'"):
        list(store.keys())


def test_off_aws_path_style_and_old_checksums_are_the_default() -> None:
    aws = open_bucket("nightly", S3Settings(bucket="b", region="ap-northeast-2"), Patience())
    elsewhere = S3Settings(bucket="b", endpoint_url="https://s3.example.com")
    other = open_bucket("nightly", elsewhere, Patience())
    assert aws.client.meta.endpoint_url == "https://s3.ap-northeast-2.amazonaws.com"
    assert (aws.checksums, other.checksums) == (True, False)
    assert vars(aws.client.meta.config)["s3"] == {"addressing_style": "auto"}
    assert vars(other.client.meta.config)["s3"] == {"addressing_style": "path"}


def test_a_folder_does_not_load_boto3() -> None:
    program = (
        "import sys; from engine.stores.settings import FolderSettings; from engine.stores.opening import open_store;"
        "open_store('nightly', FolderSettings(path='/nowhere')); print('boto3' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"


def test_settings_open_an_s3_store(moto: S3Bucket) -> None:
    store = open_store("nightly", moto.settings(prefix="kecp"))
    assert (store.name, store.address) == ("nightly", f"s3://{moto.name}/kecp")
