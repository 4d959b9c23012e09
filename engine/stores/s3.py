"""A store in a bucket of AWS or of another S3 server."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from engine.errors import TransientFailure
from engine.stores.base import (
    ByteReader,
    ByteWriter,
    Deletion,
    Mark,
    StoredFolder,
    StoredObject,
    checked_key,
    checked_prefix,
    no_mark,
)
from engine.stores.s3_bucket import TOKEN, Bucket, Head
from engine.stores.s3_client import Patience, open_bucket
from engine.stores.s3_delete import delete_keys
from engine.stores.s3_download import Download
from engine.stores.s3_errors import error_code
from engine.stores.s3_listing import folders, objects
from engine.stores.s3_upload import Upload
from engine.stores.s3_uploads import sweep_uploads
from engine.stores.settings import S3Settings

_CREATE_TRIES = 4
_PAUSE_SECONDS = 0.2
_TAKEN = ("PreconditionFailed", "412")
_COLLIDED = ("ConditionalRequestConflict", "409")
_NO_CONDITIONS = ("NotImplemented", "501")


def open_s3(name: str, settings: S3Settings, patience: Patience | None = None) -> S3Store:
    """The store; the server is first asked when the store is used.

    Raises:
        ConfigurationError: a secret that is not there, or settings that cannot be used.
    """
    return S3Store(open_bucket(name, settings, patience or Patience()))


class S3Store:
    """A Store whose keys are objects below a prefix of a bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self.name = bucket.store
        self._bucket = bucket

    @property
    def address(self) -> str:
        return self._bucket.address

    @contextmanager
    def writer(self, key: str, *, expected_bytes: int | None = None) -> Iterator[ByteWriter]:
        upload = Upload(self._bucket, checked_key(key), expected_bytes)
        try:
            yield upload
            upload.finish()
        except BaseException:
            upload.abandon()
            raise

    def create(self, key: str, data: bytes) -> bool:
        """As the contract says, with a conditional write.

        A server that does not know those is asked first and told then: between the two another
        one can write. Few such servers are left; what must be created only once belongs elsewhere.
        """
        token = secrets.token_hex(16)
        with self._bucket.failing(f"Writing {checked_key(key)}"):
            return not self._is_taken(key) and self._put_new(key, data, token)

    def _is_taken(self, key: str, own: Head | None = None) -> bool:
        """Another's object is there; not when nobody may look (the conditional write still decides)."""
        try:
            found = self._bucket.head(key)
        except PermissionError:
            return own is not None
        return found is not None and found != own

    def _put_new(self, key: str, data: bytes, token: str) -> bool:
        condition: dict[str, Any] = {"IfNoneMatch": "*"}
        for _ in range(_CREATE_TRIES):
            try:
                self._bucket.client.put_object(
                    **self._bucket.named(key),
                    Metadata={TOKEN: token},
                    **condition,
                    **self._bucket.payload(data),
                    **self._bucket.at_rest(locked=False),
                )
            except ClientError as error:
                if error_code(error) in _TAKEN:
                    # An earlier try of ours may have done it, and only its answer was lost.
                    return not self._is_taken(key, Head(len(data), token))
                if error_code(error) in _NO_CONDITIONS and condition:
                    condition = {}
                elif error_code(error) not in _COLLIDED:
                    raise
                time.sleep(_PAUSE_SECONDS)
            else:
                return True
        raise TransientFailure(
            f"Writing {key} to store {self.name!r} ({self.address}) collided with others "
            f"{_CREATE_TRIES} times; start again."
        )

    @contextmanager
    def reader(self, key: str, *, again: bool = False) -> Iterator[ByteReader]:
        """As the contract says; again, in ranges: other requests, and never one long answer."""
        download = Download(self._bucket, checked_key(key), in_ranges=again)
        try:
            yield download
        finally:
            download.close()

    def keys(self, prefix: str = "") -> Iterator[str]:
        return (found.key for found in self.list(prefix))

    def folders(self, prefix: str = "", mark: Mark = no_mark) -> Iterator[StoredFolder]:
        del mark  # a listing tells every key anyway
        with self._bucket.failing(f"Listing {prefix or 'everything'}"):
            yield from folders(self._bucket, checked_prefix(prefix))

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        with self._bucket.failing(f"Listing {prefix or 'everything'}"):
            yield from objects(self._bucket, checked_prefix(prefix))

    def delete(self, keys: Iterable[str]) -> Deletion:
        return delete_keys(self._bucket, keys)

    def sweep(self, prefix: str = "") -> int:
        """As the contract says. A server that lists no uploads at all keeps them until its own rule for incomplete
        uploads removes them; give the bucket one.
        """
        with self._bucket.failing(f"Sweeping {prefix or 'everything'}"):
            return sweep_uploads(self._bucket, checked_prefix(prefix))
