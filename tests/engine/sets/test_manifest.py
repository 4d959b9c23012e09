"""The manifest: what was changed, is newer, or belongs elsewhere is never taken for good."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from engine.errors import CouldNotVerify, OperationFailed, PlatformOpsError
from engine.sets.keys import SetKey
from engine.sets.manifest import FileEntry, from_json, read_manifest, to_json
from tests.engine.sets.made import MemoryStore, a_body, a_key, store_set, write

KEY = a_key("2026-02-07 17:00", "app")
BODY = a_body(KEY, {"app.dump.gz": b"dump", "proof.json.gz": b"proof"})
HASH = "0" * 64


def altered(data: bytes, *path: str | int, to: object) -> bytes:
    document = json.loads(data)
    place: Any = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return json.dumps(document).encode()


@pytest.mark.parametrize("digest_key", [None, "correct horse"])
def test_a_manifest_comes_back_as_it_was(digest_key: str | None) -> None:
    assert from_json(to_json(BODY, digest_key), "here", digest_key) == BODY


def test_size_is_that_of_all_files() -> None:
    assert BODY.size == 9
    assert BODY.key == KEY


@pytest.mark.parametrize(
    ("path", "to"),
    [
        (("body", "files", 0, "size"), 5),
        (("body", "files", 0, "sha256"), HASH),
        (("body", "files", 0, "name"), "../../../etc/passwd"),
        (("body", "server"), "other"),
        (("body", "roles"), ["mallory"]),
        (("body", "missing"), ["half of it"]),
        (("body", "added"), 1),
        (("digest", "value"), HASH),
        (("digest", "value"), "é"),
        (("digest", "value"), None),
        (("digest", "algorithm"), "md5"),
        (("digest", "algorithm"), None),
        (("digest", "algorithm"), ["sha256"]),
    ],
)
@pytest.mark.parametrize("digest_key", [None, "correct horse"])
def test_an_edited_manifest_is_refused(
    path: tuple[str | int, ...], to: object, digest_key: str | None
) -> None:
    data = altered(to_json(BODY, digest_key), *path, to=to)
    with pytest.raises(OperationFailed, match=r"^here was changed after it was written"):
        from_json(data, "here", digest_key)


@given(st.data())
def test_no_changed_byte_goes_unnoticed(data: st.DataObject) -> None:
    whole = to_json(BODY)
    at = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != whole[at]))
    try:
        found = from_json(whole[:at] + bytes([byte]) + whole[at + 1 :], "here")
    except PlatformOpsError:
        return
    assert found == BODY  # white space, or another spelling of the same


@given(st.binary(max_size=200))
def test_any_bytes_give_one_clear_error(data: bytes) -> None:
    with pytest.raises(OperationFailed, match=r"^here is damaged"):
        from_json(data, "here")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff\xfe",
        b"[" * 200_000,
        b'{"schema": null}',
        b'{"schema": true}',
        b"{}",
        b'{"schema": 0}',
    ],
    ids=lambda data: repr(data[:20]),
)
def test_what_is_no_manifest_is_damaged(data: bytes) -> None:
    with pytest.raises(OperationFailed, match=r"^here is damaged"):
        from_json(data, "here")


def test_a_lone_surrogate_is_not_text() -> None:
    data = to_json(BODY).replace(b'"platform"', b'"\\ud800"')
    with pytest.raises(OperationFailed, match="was changed"):
        from_json(data, "here")


def test_a_newer_schema_says_which_version_to_use() -> None:
    with pytest.raises(CouldNotVerify) as caught:
        from_json(altered(to_json(BODY), "schema", to=2), "here")
    assert str(caught.value) == (
        "here has manifest schema 2; this version reads 1: use the version that wrote it, or a newer one."
    )


@pytest.mark.parametrize(
    "name",
    ["../x", "..", ".", "", "/etc/passwd", "a/b", ".hidden", "manifest.json", "a b", "a\n", "a\0", "x" * 256],
)
def test_a_file_outside_its_set_cannot_be_named(name: str) -> None:
    with pytest.raises(ValidationError, match="plain path segment"):
        FileEntry(name=name, size=1, sha256=HASH, kind="dump")
    # Not even by somebody who can compute the digest.
    entry = FileEntry.model_construct(name=name, size=1, sha256=HASH, kind="dump", database=None)
    forged = to_json(BODY.model_copy(update={"files": (entry,)}))
    with pytest.raises(OperationFailed, match=r"^here is not valid at 'files\.0\.name'"):
        from_json(forged, "here")


def test_a_file_cannot_be_named_twice() -> None:
    forged = to_json(BODY.model_copy(update={"files": (BODY.files[0], BODY.files[0])}))
    with pytest.raises(OperationFailed, match="a file is named twice"):
        from_json(forged, "here")


def test_a_keyed_manifest_needs_its_key() -> None:
    keyed = to_json(BODY, "correct horse")
    with pytest.raises(CouldNotVerify, match="no digest_key is configured here"):
        from_json(keyed, "here")
    with pytest.raises(OperationFailed, match="was changed"):
        from_json(keyed, "here", "wrong horse")


def test_a_plain_manifest_is_not_taken_for_a_keyed_one() -> None:
    with pytest.raises(CouldNotVerify) as caught:
        from_json(to_json(BODY), "here", "correct horse")
    assert str(caught.value) == (
        "here has a plain digest, but a digest_key is configured: it was written before the key, or by "
        "somebody without it; use a newer set, or leave out digest_key to read this one."
    )
    with pytest.raises(OperationFailed, match="was changed"):  # a damaged one is damaged all the same
        from_json(altered(to_json(BODY), "body", "server", to="other"), "here", "correct horse")


# As canonical JSON; its digests were computed with sha256sum and openssl.
STORED_BODY = (
    '{"client_version":"16.2","created":"2026-02-07T17:00:00Z","database":null,"encrypted":false,'
    '"files":[{"database":"한글","kind":"sql","name":"001-%ED%95%9C%EA%B8%80.sql.gz",'
    '"sha256":"0000000000000000000000000000000000000000000000000000000000000000","size":4}],'
    '"product_version":"0.1.0","server":"platform","server_version":"16.2",'
    '"set_id":"20260207T170000Z-abcd1234","superuser":"postgres","system_identifier":"7123"}'
)


@pytest.mark.parametrize(
    ("algorithm", "value", "digest_key"),
    [
        ("sha256", "0bc1a145de73a0dcec713dcaa383d3ef554a2eec005d83640f5fe094d6660f7c", None),
        ("hmac-sha256", "432530f16d15d72ee8bcb6858f57c3d68d2c7dedd3e6e7fe4ed67f4da33b5190", "correct horse"),
    ],
)
def test_manifests_stored_by_the_first_version_stay_readable(
    algorithm: str, value: str, digest_key: str | None
) -> None:
    digest = json.dumps({"algorithm": algorithm, "value": value})
    document = f'{{"schema": 1, "digest": {digest}, "body": {STORED_BODY}}}'
    body = from_json(document.encode(), "here", digest_key)
    assert body.files[0].database == "한글"
    assert body.key == SetKey("platform", None, "20260207T170000Z-abcd1234")


def test_a_manifest_is_read_from_its_own_place_only() -> None:
    store = MemoryStore()
    mine, other = store_set(store, KEY), a_key("2026-02-06 17:00", "app")
    assert read_manifest(store, mine).key == mine
    write(store, other.manifest, store.objects[mine.manifest])
    with pytest.raises(OperationFailed, match="is the manifest of another set"):
        read_manifest(store, other)
    with pytest.raises(OperationFailed, match="is not in memory"):
        read_manifest(store, a_key("2026-02-05", "app"))
