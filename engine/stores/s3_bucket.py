"""One bucket as everything of the S3 store sees it: the client, the names, what a request carries."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from engine.errors import PlatformOpsError
from engine.stores.s3_errors import error_code, failure
from engine.stores.settings import S3Settings

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

TOKEN = "writer"  # noqa: S105 - the name of an object's metadata, by which a writer knows its own work
_MISSING = ("404", "NoSuchKey", "NotFound")
_CANNOT_LOOK = ("403", "AccessDenied", "Forbidden", "MethodNotAllowed", "405", "NotImplemented")


@dataclass(frozen=True, slots=True)
class Head:
    """What the server says about a stored object: its size in bytes and who wrote it."""

    size: int
    token: str


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket and the prefix all keys of the store have in it (empty, or ending in `/`)."""

    client: S3Client
    store: str
    prefix: str
    settings: S3Settings

    @property
    def name(self) -> str:
        return self.settings.bucket

    @property
    def address(self) -> str:
        return f"s3://{self.name}/{self.prefix}".rstrip("/")

    def named(self, key: str) -> dict[str, Any]:
        """The arguments that name an object."""
        return {"Bucket": self.name, "Key": self.prefix + key}

    @contextmanager
    def failing(self, doing: str) -> Iterator[None]:
        """Turn what boto3 raises into one sentence; `doing` says what failed, as `Writing x/y`.

        The cause is cut off: it may repeat headers, and headers hold credentials.
        """
        try:
            yield
        except (BotoCoreError, ClientError, ResponseParserError, HTTPError, OSError, ValueError) as error:
            raise failure(error, doing, f"store {self.store!r} ({self.address})") from None

    def head(self, key: str) -> Head | None:
        """What is stored under `key`; None when there is nothing.

        Raises:
            PermissionError: this server or these credentials do not let us look.
        """
        try:
            found = self.client.head_object(**self.named(key))
        except ClientError as error:
            if error_code(error) in _MISSING:
                return None
            if error_code(error) in _CANNOT_LOOK:
                raise PermissionError(error_code(error)) from None
            raise
        return Head(found["ContentLength"], found["Metadata"].get(TOKEN, ""))

    def holds(self, key: str, expected: Head) -> bool | None:
        """Whether exactly that is stored now; None when nobody can tell at the moment."""
        try:
            with self.failing(f"Looking at {key}"):
                return self.head(key) == expected
        except PlatformOpsError:
            return None

    def payload(self, data: bytes | bytearray) -> dict[str, Any]:
        """`data` as a request's body, with what lets the server refuse it when it arrives damaged.

        The checksum is given by us rather than left to boto3, which would send it in a trailer that
        servers other than AWS refuse.
        """
        if self.checksums:
            return {"Body": data, "ChecksumSHA256": _base64(hashlib.sha256(data).digest())}
        return {"Body": data, "ContentMD5": content_md5(data)}

    @property
    def checksums(self) -> bool:
        """The server knows the checksums of newer S3 (all of AWS does)."""
        chosen = self.settings.checksums
        return chosen == "when_supported" if chosen else not self.settings.endpoint_url

    def at_rest(self, *, locked: bool = True) -> dict[str, Any]:
        """How a new object is to be kept: encryption and, when `locked`, retention."""
        settings = self.settings
        kept: dict[str, Any] = {}
        if settings.encryption:
            kept["ServerSideEncryption"] = settings.encryption
        if settings.encryption == "aws:kms" and settings.kms_key_id:
            kept["SSEKMSKeyId"] = settings.kms_key_id
        if locked and settings.lock_mode and settings.lock_days:
            kept["ObjectLockMode"] = settings.lock_mode
            kept["ObjectLockRetainUntilDate"] = datetime.now(UTC) + timedelta(days=settings.lock_days)
        return kept


def content_md5(data: bytes | bytearray) -> str:
    """The oldest checksum of S3, known to every server."""
    return _base64(hashlib.md5(data, usedforsecurity=False).digest())


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode("ascii")
