"""Reading an object from S3 as a stream that goes on where a broken connection left it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from botocore.exceptions import HTTPClientError, IncompleteReadError
from urllib3.exceptions import HTTPError

from engine.stores.s3_bucket import Bucket

if TYPE_CHECKING:
    from botocore.response import StreamingBody

_TRIES = 5  # in a row; a row ends when a few MiB have come through
_PROGRESS = 8 * 2**20
_LONGEST_PAUSE_SECONDS = 3.0
_RANGE = 8 * 2**20
_BROKEN = (HTTPClientError, IncompleteReadError, HTTPError, OSError)


class Download:
    """A ByteReader; opened at once, so that a missing key is told before anything is read.

    `in_ranges`: by a request for every 8 MiB.
    """

    def __init__(self, bucket: Bucket, key: str, *, in_ranges: bool = False) -> None:
        self._bucket = bucket
        self._key = key
        self._offset = 0
        self._failures = 0
        self._failed_at = 0
        self._resumed = False
        self._end: int | None = None  # of the range that is open; None: the object's
        with bucket.failing(f"Reading {key}"):
            first = bucket.client.get_object(**bucket.named(key))
        self._etag = first["ETag"]
        self._size = first["ContentLength"]
        self._body: StreamingBody | None = first["Body"]
        self._in_ranges = in_ranges
        if in_ranges and self._size:
            self.close()

    def read(self, size: int, /) -> bytes:
        with self._bucket.failing(f"Reading {self._key}"):
            while self._offset < self._size:
                data = self._some(size)
                if data:
                    return data
            self._check()
        return b""

    def close(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None

    def _some(self, size: int) -> bytes:
        """The next bytes; none when the connection broke and another try is due."""
        if self._offset == self._end:
            self.close()
        body = self._continued()  # boto3 has tried again by itself when this fails
        try:
            data: bytes = body.read(size)
            if not data:
                raise ConnectionError("ended early")
        except _BROKEN as error:
            self._broke(error)
            return b""
        self._offset += len(data)
        return data

    def _continued(self) -> StreamingBody:
        """The open body, or a new one from where the last broke off, of the very same object."""
        if self._body is None:
            self._end = min(self._offset + _RANGE, self._size) if self._in_ranges else None
            again = self._bucket.client.get_object(
                **self._bucket.named(self._key),
                Range=f"bytes={self._offset}-{'' if self._end is None else self._end - 1}",
                IfMatch=self._etag,
            )
            self._body = again["Body"]
            self._resumed = True
        return self._body

    def _broke(self, error: Exception) -> None:
        self.close()
        if self._offset - self._failed_at > _PROGRESS:
            self._failures = 0
        self._failed_at = self._offset
        self._failures += 1
        if self._failures >= _TRIES:
            raise error
        time.sleep(min(_LONGEST_PAUSE_SECONDS, 0.1 * 2**self._failures))

    def _check(self) -> None:
        """One read past the end makes boto3 compare its checksum, where the server sent one."""
        if self._body is not None and not self._resumed:
            self._body.read(1)
