"""The manifest: what was changed, is newer, or belongs elsewhere is never taken for good."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from engine.errors import CouldNotVerify, DamagedSet, OperationFailed, PlatformOpsError
from engine.repository.body import FileEntry
from engine.repository.keys import SetKey
from engine.repository.manifest import from_json, read_manifest, to_json
from engine.repository.repository import Repository
from tests.engine.repository.made import MemoryStore, a_body, a_key, store_set, write

KEY = a_key("2026-02-07 17:00", "app")
BODY = a_body(KEY, {"app.dump.gz": b"dump", "proof.json.gz": b"proof"})
HASH = "0" * 64
PLAIN, KEYED = Repository(MemoryStore()), Repository(MemoryStore(), digest_key="correct horse")


def altered(data: bytes, *path: str | int, to: object) -> bytes:
    document = json.loads(data)
    place: Any = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return json.dumps(document).encode()


@pytest.mark.parametrize("repository", [PLAIN, KEYED], ids=["plain", "keyed"])
def test_a_manifest_comes_back_as_it_was(repository: Repository) -> None:
    assert from_json(repository, to_json(repository, BODY), "here") == BODY


def test_facts_of_any_kind_come_back_as_they_were() -> None:
    facts: dict[str, Any] = {
        "databases": ["한글", "a b"],
        "deep": {"none": None, "count": 3, "share": 0.25},
        "on": True,
    }
    body = BODY.model_copy(update={"facts": facts, "kind": "hologram"})
    assert from_json(KEYED, to_json(KEYED, body), "here").facts == facts


def test_a_file_is_found_by_its_role_and_what_it_holds() -> None:
    def entry(name: str, role: str, of: str = "") -> FileEntry:
        return FileEntry(name=name, size=1, sha256=HASH, role=role, of=of)

    files = (
        entry("0.gz", "globals"),
        entry("1.gz", "sql", "app"),
        entry("2.gz", "sql", "b"),
        entry("3.gz", "proof", "b"),
    )
    body = BODY.model_copy(update={"files": files})
    assert body.file("globals") == files[0]
    assert body.file("sql", "b") == files[2]
    assert body.file("sql") is None
    assert body.of_roles("sql", "proof") == files[1:]


@pytest.mark.parametrize("role", ["", "SQL", "a b", "-x", "1", "x" * 32, "sql\n", "../x"])
def test_a_role_is_a_plain_word(role: str) -> None:
    with pytest.raises(ValidationError, match="role"):
        FileEntry(name="a.gz", size=1, sha256=HASH, role=role)


@pytest.mark.parametrize("percent", [0, 101])
def test_a_sample_is_a_part_of_a_hundred(percent: int) -> None:
    forged = to_json(PLAIN, BODY.model_copy(update={"sample_percent": percent}))
    with pytest.raises(DamagedSet, match=r"^here is not valid at 'sample_percent'"):
        from_json(PLAIN, forged, "here")


def test_size_is_that_of_all_files() -> None:
    assert BODY.size == 9
    assert BODY.key == KEY


@pytest.mark.parametrize(
    ("path", "to"),
    [
        (("body", "files", 0, "size"), 5),
        (("body", "files", 0, "sha256"), HASH),
        (("body", "files", 0, "name"), "../../../etc/passwd"),
        (("body", "source"), "other"),
        (("body", "kind"), "volume"),
        (("body", "name"), "app2"),
        (("body", "set_id"), "20260207T170001Z-abcd1234"),
        (("body", "files", 0, "role"), "proof"),
        (("body", "files", 0, "of"), "app"),
        (("body", "facts", "roles"), ["mallory"]),
        (("body", "facts", "server_version"), "17.0"),
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
@pytest.mark.parametrize("repository", [PLAIN, KEYED], ids=["plain", "keyed"])
def test_an_edited_manifest_is_refused(path: tuple[str | int, ...], to: object, repository: Repository) -> None:
    data = altered(to_json(repository, BODY), *path, to=to)
    with pytest.raises(OperationFailed, match=r"^here was changed after it was written"):
        from_json(repository, data, "here")


@given(st.data())
def test_no_changed_byte_goes_unnoticed(data: st.DataObject) -> None:
    whole = to_json(PLAIN, BODY)
    at = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != whole[at]))
    try:
        found = from_json(PLAIN, whole[:at] + bytes([byte]) + whole[at + 1 :], "here")
    except PlatformOpsError:
        return
    assert found == BODY  # white space, or another spelling of the same


@given(st.binary(max_size=200))
def test_any_bytes_give_one_clear_error(data: bytes) -> None:
    with pytest.raises(OperationFailed, match=r"^here is damaged"):
        from_json(PLAIN, data, "here")


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
        from_json(PLAIN, data, "here")


def test_a_lone_surrogate_is_not_text() -> None:
    data = to_json(PLAIN, BODY).replace(b'"platform"', b'"\\ud800"')
    with pytest.raises(OperationFailed, match="was changed"):
        from_json(PLAIN, data, "here")


def test_a_newer_schema_says_which_version_to_use() -> None:
    with pytest.raises(CouldNotVerify) as caught:
        from_json(PLAIN, altered(to_json(PLAIN, BODY), "schema", to=2), "here")
    assert str(caught.value) == (
        "here has manifest schema 2; this version reads 1: use the version that wrote it, or a newer one."
    )


@pytest.mark.parametrize(
    "name",
    ["../x", "..", ".", "", "/etc/passwd", "a/b", ".hidden", "manifest.json", "a b", "a\n", "a\0", "x" * 256],
)
def test_a_file_outside_its_set_cannot_be_named(name: str) -> None:
    with pytest.raises(ValidationError, match="plain path segment"):
        FileEntry(name=name, size=1, sha256=HASH, role="dump")
    # Not even by somebody who can compute the digest.
    entry = FileEntry.model_construct(name=name, size=1, sha256=HASH, role="dump", of="")
    forged = to_json(PLAIN, BODY.model_copy(update={"files": (entry,)}))
    with pytest.raises(OperationFailed, match=r"^here is not valid at 'files\.0\.name'"):
        from_json(PLAIN, forged, "here")


def test_a_file_cannot_be_named_twice() -> None:
    forged = to_json(PLAIN, BODY.model_copy(update={"files": (BODY.files[0], BODY.files[0])}))
    with pytest.raises(OperationFailed, match="a file is named twice"):
        from_json(PLAIN, forged, "here")


def test_a_keyed_manifest_needs_its_key() -> None:
    keyed = to_json(KEYED, BODY)
    with pytest.raises(CouldNotVerify, match="no digest_key is configured here"):
        from_json(PLAIN, keyed, "here")
    with pytest.raises(OperationFailed, match="was changed"):
        from_json(Repository(MemoryStore(), digest_key="wrong horse"), keyed, "here")


def test_a_plain_manifest_is_not_taken_for_a_keyed_one() -> None:
    with pytest.raises(CouldNotVerify) as caught:
        from_json(KEYED, to_json(PLAIN, BODY), "here")
    assert str(caught.value) == (
        "here has a plain digest, but a digest_key is configured: it was written before the key, or by "
        "somebody without it; use a newer set, or leave out digest_key to read this one."
    )
    with pytest.raises(OperationFailed, match="was changed"):  # a damaged one is damaged all the same
        from_json(KEYED, altered(to_json(PLAIN, BODY), "body", "source", to="other"), "here")


# As canonical JSON; its digests were computed with sha256sum and openssl.
STORED_BODY = (
    '{"created":"2026-02-07T17:00:00Z","encrypted":false,"facts":{"databases":["한글"],"superuser":"postgres"},'
    '"files":[{"name":"001-%ED%95%9C%EA%B8%80.sql.gz","of":"한글","role":"sql",'
    '"sha256":"0000000000000000000000000000000000000000000000000000000000000000","size":4}],'
    '"kind":"cluster","name":"","product_version":"0.1.0","set_id":"20260207T170000Z-abcd1234","source":"platform"}'
)


@pytest.mark.parametrize(
    ("algorithm", "value", "digest_key"),
    [
        ("sha256", "d3cf10cde8813eb02c824fb5e61e6d63298a485d2f8a59d307980130d5a67374", None),
        ("hmac-sha256", "adc44f8b3d14746973c7bbcefe8a7ecf36f05eff25df48fef8cbb10bdc547b3b", "correct horse"),
    ],
)
def test_manifests_stored_by_the_first_version_stay_readable(
    algorithm: str, value: str, digest_key: str | None
) -> None:
    digest = json.dumps({"algorithm": algorithm, "value": value})
    document = f'{{"schema": 1, "digest": {digest}, "body": {STORED_BODY}}}'
    body = from_json(Repository(MemoryStore(), digest_key=digest_key), document.encode(), "here")
    assert body.files[0].of == "한글"
    assert body.facts == {"databases": ["한글"], "superuser": "postgres"}
    assert body.key == SetKey("platform", "cluster", "", "20260207T170000Z-abcd1234")


def test_a_manifest_is_read_from_its_own_place_only() -> None:
    store = MemoryStore()
    mine, other = store_set(store, KEY), a_key("2026-02-06 17:00", "app")
    assert read_manifest(Repository(store), mine).key == mine
    write(store, other.manifest, store.objects[mine.manifest])
    with pytest.raises(OperationFailed, match="is the manifest of another set"):
        read_manifest(Repository(store), other)
    for near in (mine._replace(name="app2"), mine._replace(kind="volume"), mine._replace(source="other")):
        write(store, near.manifest, store.objects[mine.manifest])
        with pytest.raises(DamagedSet, match="is the manifest of another set"):
            read_manifest(Repository(store), near)
    with pytest.raises(DamagedSet, match=r"/manifest\.json is not in memory; `list` shows what is stored\.$"):
        read_manifest(Repository(store), a_key("2026-02-05", "app"))
