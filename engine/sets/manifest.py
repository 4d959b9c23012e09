"""manifest.json: what a set holds. Written last; a set without one does not exist.

The digest covers the body in canonical JSON (sorted keys, no spaces, UTF-8). With a digest key it
is an HMAC, which somebody who can write to the store but lacks the key cannot forge.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from engine.errors import CouldNotVerify, DamagedSet
from engine.sets.keys import MANIFEST, SetKey, is_file_name
from engine.stores.base import Store

SCHEMA = 1
_LARGEST = 64 * 2**20  # bytes; what a hostile one may cost in memory is some times this


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileEntry(_Frozen):
    """One stored file: `size` in bytes and `sha256` (hex) are of the stored bytes.

    `database` is the one it holds; None for the globals.
    """

    name: str
    size: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    kind: Literal["globals", "sql", "dump", "proof"]
    database: str | None = None

    @field_validator("name")
    @classmethod
    def _plain(cls, value: str) -> str:
        if not is_file_name(value) or value == MANIFEST:
            raise ValueError("a file's name is one plain path segment")
        return value


class Timing(_Frozen):
    """When a part of the work began and how long it took (seconds)."""

    started: datetime
    seconds: float = Field(ge=0)


class Body(_Frozen):
    """What the digest covers. `sample_percent` is that of the proofs: less than 100 cannot become proven."""

    server: str
    database: str | None
    set_id: str
    created: datetime
    files: tuple[FileEntry, ...]
    encrypted: bool
    recipients: tuple[str, ...] = ()
    server_version: str
    client_version: str
    product_version: str
    image: str | None = None
    system_identifier: str
    superuser: str
    extensions: dict[str, dict[str, str]] = {}
    collations: dict[str, dict[str, str]] = {}
    roles: tuple[str, ...] = ()
    settings: dict[str, str] = {}
    timings: dict[str, Timing] = {}
    snapshot_seconds: dict[str, float] = {}
    missing: tuple[str, ...] = ()
    sample_percent: int = Field(default=100, ge=1, le=100)

    @field_validator("files")
    @classmethod
    def _distinct(cls, value: tuple[FileEntry, ...]) -> tuple[FileEntry, ...]:
        if len({file.name for file in value}) != len(value):
            raise ValueError("a file is named twice")
        return value

    @property
    def key(self) -> SetKey:
        """Where this set says it belongs."""
        return SetKey(self.server, self.database, self.set_id)

    @property
    def size(self) -> int:
        """Stored bytes of all its files."""
        return sum(file.size for file in self.files)


def _canonical(body: dict[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _digest(body: dict[str, Any], key: str | None) -> dict[str, str]:
    data = _canonical(body)
    if key is None:
        return {"algorithm": "sha256", "value": hashlib.sha256(data).hexdigest()}
    return {"algorithm": "hmac-sha256", "value": hmac.new(key.encode(), data, "sha256").hexdigest()}


def to_json(body: Body, digest_key: str | None = None) -> bytes:
    """The manifest as it is stored."""
    content = body.model_dump(mode="json")
    document = {"schema": SCHEMA, "digest": _digest(content, digest_key), "body": content}
    return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"


def read_manifest(store: Store, key: SetKey, digest_key: str | None = None) -> Body:
    """The checked manifest of a stored set: it is unedited and it is this set's own.

    Raises:
        DamagedSet: there is none, or it is damaged, edited or another set's.
        CouldNotVerify: see `from_json`.
    """
    return read_own(stored_bytes(store, key), store, key, digest_key)


def stored_bytes(store: Store, key: SetKey) -> bytes:
    """The manifest of a stored set as it is, not yet checked; no more than a manifest can have.

    Raises:
        DamagedSet: there is none.
    """
    data = bytearray()
    with store.reader(key.manifest) as source:
        while len(data) <= _LARGEST and (chunk := source.read(2**20)):
            data += chunk
    return bytes(data)


def read_own(data: bytes, store: Store, key: SetKey, digest_key: str | None = None) -> Body:
    """`stored_bytes`, checked; raises as `read_manifest` does."""
    where = f"{key.manifest} in {store.address}"
    body = from_json(data, where, digest_key)
    if body.key != key:
        raise DamagedSet(f"{where} is the manifest of another set; do not trust this set, use another.")
    return body


def from_json(data: bytes, where: str, digest_key: str | None = None) -> Body:
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
    _check_digest(digest, body, where, digest_key)
    try:
        return Body.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DamagedSet(
            f"{where} is not valid at {place[:80]!r}: {first['msg']}; use another set."
        ) from None


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
        raise CouldNotVerify(
            f"{where} has a keyed digest and no digest_key is configured here; configure it."
        )
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
