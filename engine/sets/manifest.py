"""manifest.json: what a set holds. Written last; a set without one does not exist.

The digest covers the body in canonical JSON (sorted keys, no spaces, UTF-8). With a digest key it
is an HMAC, which somebody who can write to the store but lacks the key cannot forge.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from engine.errors import CouldNotVerify, OperationFailed

SCHEMA = 1
_FILE = re.compile(r"[A-Za-z0-9%_~+@=,-][A-Za-z0-9%._~+@=,-]*")
_LARGEST = 256 * 2**20


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
        if not _FILE.fullmatch(value) or len(value) > 255 or value == "manifest.json":
            raise ValueError("a file's name is one plain path segment")
        return value


class Timing(_Frozen):
    """When a part of the work began and how long it took (seconds)."""

    started: datetime
    seconds: float = Field(ge=0)


class Body(_Frozen):
    """What the digest covers."""

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
    extensions: dict[str, dict[str, str]] = {}
    collations: dict[str, dict[str, str]] = {}
    roles: tuple[str, ...] = ()
    settings: dict[str, str] = {}
    timings: dict[str, Timing] = {}
    snapshot_seconds: dict[str, float] = {}
    missing: tuple[str, ...] = ()

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


def from_json(data: bytes, where: str, digest_key: str | None = None) -> Body:
    """Read and check a manifest; `where` names it in errors.

    Raises:
        OperationFailed: damaged, edited, or naming a file outside its set.
        CouldNotVerify: written by a newer version, or keyed and no key is configured here.
    """
    document = _document(data, where)
    if document.get("schema") != SCHEMA:
        raise CouldNotVerify(
            f"{where} has manifest schema {document.get('schema')!r}; this version reads {SCHEMA}: "
            "use the version that wrote it, or a newer one."
        )
    digest, body = document.get("digest"), document.get("body")
    if not isinstance(digest, dict) or not isinstance(body, dict):
        raise OperationFailed(f"{where} is not a manifest: its digest or body is missing; use another set.")
    if digest.get("algorithm") == "hmac-sha256" and digest_key is None:
        raise CouldNotVerify(
            f"{where} has a keyed digest and no digest_key is configured here; configure it."
        )
    if not hmac.compare_digest(str(digest.get("value")), _digest(body, digest_key)["value"]):
        raise OperationFailed(
            f"{where} was changed after it was written (its digest differs); do not trust this set, use another."
        )
    try:
        return Body.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise OperationFailed(f"{where} is not valid at {place}: {first['msg']}; use another set.") from None


def _document(data: bytes, where: str) -> dict[str, Any]:
    try:
        document = json.loads(data) if len(data) <= _LARGEST else None
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise OperationFailed(f"{where} is damaged: it is not a JSON document; use another set.")
    return document
