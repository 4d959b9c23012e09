"""manifest.json: what a set holds. Written last; a set without one does not exist.

The digest covers the body in canonical JSON (sorted keys, no spaces, UTF-8). With a digest key it
is an HMAC, which somebody who can write to the store but lacks the key cannot forge.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from typing import Any

from pydantic import ValidationError

from engine.errors import CouldNotVerify, DamagedSet, UnsteadyStore
from engine.repository.body import Body
from engine.repository.keys import SetKey
from engine.repository.missing import missing_is_damage
from engine.repository.repository import Repository
from engine.stores.base import read_small

_log = logging.getLogger(__name__)

SCHEMA = 1
_LARGEST = 64 * 2**20  # bytes; what a hostile one may cost in memory is some times this


def _canonical(body: dict[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _digest(body: dict[str, Any], key: str | None) -> dict[str, str]:
    data = _canonical(body)
    if key is None:
        return {"algorithm": "sha256", "value": hashlib.sha256(data).hexdigest()}
    return {"algorithm": "hmac-sha256", "value": hmac.new(key.encode(), data, "sha256").hexdigest()}


def to_json(repository: Repository, body: Body) -> bytes:
    """The manifest as it is stored there: signed with the repository's digest key, where it has one."""
    content = body.model_dump(mode="json")
    document = {"schema": SCHEMA, "digest": _digest(content, repository.digest_key), "body": content}
    return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"


def write_manifest(repository: Repository, body: Body) -> None:
    """Store it: from now on the set exists."""
    data = to_json(repository, body)
    with repository.store.writer(body.key.manifest, expected_bytes=len(data)) as writer:
        writer.write(data)


def read_manifest(repository: Repository, key: SetKey) -> Body:
    """The checked manifest of a stored set; raises as `read_checked` does."""
    return read_checked(repository, key)[1]


def read_checked(repository: Repository, key: SetKey) -> tuple[bytes, Body]:
    """The manifest of a stored set as it is, and read: it is unedited and it is this set's own.

    What is wrong with it is believed when a second reading gives the same bytes.

    Raises:
        DamagedSet: there is none, or it is damaged, edited or another set's.
        CouldNotVerify: see `from_json`.
        UnsteadyStore: two readings are wrong, each in its own way.
    """
    data = stored_bytes(repository, key)
    try:
        return data, _read_own(repository, data, key)
    except DamagedSet:
        if (second := stored_bytes(repository, key, again=True)) == data:
            raise
    where = f"{key.manifest} in {repository.store.address}"
    _log.warning("%s was read twice with other bytes; look at that store's disks and the network to it.", where)
    try:
        return second, _read_own(repository, second, key)
    except DamagedSet:
        raise UnsteadyStore(
            f"{where} has other bytes each time it is read, so nothing is held against the set; look at that store's "
            "disks and the network to it, then start again."
        ) from None


def stored_bytes(repository: Repository, key: SetKey, *, again: bool = False) -> bytes:
    """The manifest of a stored set as it is, not yet checked; no more than a manifest can have.

    Raises:
        DamagedSet: there is none.
    """
    with missing_is_damage():
        return read_small(repository.store, key.manifest, _LARGEST, again=again)


def _read_own(repository: Repository, data: bytes, key: SetKey) -> Body:
    """`stored_bytes`, checked."""
    where = f"{key.manifest} in {repository.store.address}"
    body = from_json(repository, data, where)
    if body.key != key:
        raise DamagedSet(f"{where} is the manifest of another set; do not trust this set, use another.")
    return body


def from_json(repository: Repository, data: bytes, where: str) -> Body:
    """Read and check a manifest; `where` names it in errors.

    Raises:
        DamagedSet: damaged, edited, or naming a file outside its set.
        CouldNotVerify: written by a newer version; or keyed and no key is configured here; or not
            keyed although a key is configured, so that nothing shows who wrote it.
    """
    document = _document(data, where)
    _check_schema(document, where)
    digest, body = document.get("digest"), document.get("body")
    if not isinstance(digest, dict) or not isinstance(body, dict):
        raise DamagedSet(f"{where} is not a manifest: its digest or body is missing; use another set.")
    _check_digest(digest, body, where, repository.digest_key)
    try:
        return Body.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DamagedSet(f"{where} is not valid at {place[:80]!r}: {first['msg']}; use another set.") from None


def _check_schema(document: dict[str, Any], where: str) -> None:
    schema = document.get("schema")
    if type(schema) is not int or schema < 1:
        raise DamagedSet(f"{where} is damaged: it names no schema; use another set.")
    if schema != SCHEMA:
        raise CouldNotVerify(
            f"{where} has manifest schema {schema}; this version reads {SCHEMA}: "
            "use the version that wrote it, or a newer one."
        )


def _check_digest(digest: dict[str, Any], body: dict[str, Any], where: str, digest_key: str | None) -> None:
    algorithm, keyed = digest.get("algorithm"), digest_key is not None
    if algorithm == "hmac-sha256" and not keyed:
        raise CouldNotVerify(f"{where} has a keyed digest and no digest_key is configured here; configure it.")
    # The digest that is there is checked first: a damaged manifest is damaged, whatever its kind.
    try:
        expected = _digest(body, digest_key if algorithm == "hmac-sha256" else None)
    except ValueError:  # lone surrogates, which cannot have been written as UTF-8
        expected = {}
    found = str(digest.get("value")).encode(errors="replace")
    if algorithm != expected.get("algorithm") or not hmac.compare_digest(found, expected["value"].encode()):
        raise DamagedSet(
            f"{where} was changed after it was written (its digest differs); do not trust this set, use another."
        )
    if algorithm == "sha256" and keyed:
        raise CouldNotVerify(
            f"{where} has a plain digest, but a digest_key is configured: it was written before the key, or "
            "by somebody without it; use a newer set, or leave out digest_key to read this one."
        )


def _document(data: bytes, where: str) -> dict[str, Any]:
    try:
        document = json.loads(data) if len(data) <= _LARGEST else None
    except (ValueError, RecursionError):  # also bytes that are not UTF-8, and a bomb of brackets
        document = None
    if not isinstance(document, dict):
        raise DamagedSet(f"{where} is damaged: it is not a JSON document; use another set.")
    return document
