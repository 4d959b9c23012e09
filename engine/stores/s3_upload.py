"""Writing an object to S3 in bounded memory: one request when small, else parts, several in flight.

The object carries a token of its writer, so that after a lost answer the writer can tell whether
the work was done.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from engine.errors import OperationFailed, PlatformOpsError, TransientFailure
from engine.stores.s3_bucket import TOKEN, Bucket, Head
from engine.stores.s3_parts import FLIGHT, MIB, first_part_size, most_in_flight, next_part_size
from engine.stores.s3_uploads import ACTIVE, mark, unmark

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import CompletedPartTypeDef


class Upload:
    """A ByteWriter; call `finish` or `abandon` at the end."""

    def __init__(self, bucket: Bucket, key: str, expected_bytes: int | None) -> None:
        settings = bucket.settings
        self._bucket = bucket
        self._key = key
        self._token = secrets.token_hex(16)
        self._size = first_part_size(expected_bytes, settings.part_size_mib * MIB, settings.max_parts)
        self._buffer = bytearray()
        self._written = 0  # in parts that were handed over
        self._id = self._mark = ""
        self._threads: ThreadPoolExecutor | None = None
        self._flying: deque[Future[CompletedPartTypeDef]] = deque()
        self._parts: list[CompletedPartTypeDef] = []

    def write(self, data: bytes, /) -> int:
        rest = memoryview(data)
        while rest:
            room = self._size - len(self._buffer)
            self._buffer += rest[:room]
            rest = rest[room:]
            if len(self._buffer) >= self._size:
                self._hand_over()
        return len(data)

    def finish(self) -> None:
        """Make the object visible under its key."""
        if not self._id:
            self._put()
            return
        if self._buffer:
            self._hand_over()
        while self._flying:
            self._parts.append(self._flying.popleft().result())
        self._complete(self._written)
        self._close()
        unmark(self._bucket, self._key, self._mark)

    def abandon(self) -> None:
        """Leave nothing. What cannot be aborted now is found by the next sweep."""
        self._close()
        if self._id:
            with suppress(PlatformOpsError), self._bucket.failing("Aborting an upload"):
                self._bucket.client.abort_multipart_upload(**self._bucket.named(self._key), UploadId=self._id)
                unmark(self._bucket, self._key, self._mark)

    def _close(self) -> None:
        if self._threads:
            # An abort while a part is on its way would leave that part behind: wait for it.
            self._threads.shutdown(wait=True, cancel_futures=True)
        ACTIVE.discard(self._id)

    def _put(self) -> None:
        data = self._buffer
        with self._sure(len(data)), self._bucket.failing(f"Writing {self._key}"):
            self._bucket.client.put_object(
                **self._bucket.named(self._key),
                Metadata={TOKEN: self._token},
                **self._bucket.payload(data),
                **self._bucket.at_rest(),
            )

    def _complete(self, size: int) -> None:
        with self._sure(size), self._bucket.failing(f"Writing {self._key}"):
            self._bucket.client.complete_multipart_upload(
                **self._bucket.named(self._key),
                UploadId=self._id,
                MultipartUpload={"Parts": self._parts},
            )
        if self._bucket.holds(self._key, Head(size, self._token)) is False:
            raise TransientFailure(
                f"Writing {self._key} to store {self._bucket.store!r} ended well, but {size} bytes of ours "
                "are not there; look at that server, then start again."
            )

    @contextmanager
    def _sure(self, size: int) -> Iterator[None]:
        """Let a failure pass when the work was done and only the answer was lost."""
        try:
            yield
        except PlatformOpsError:
            if not self._bucket.holds(self._key, Head(size, self._token)):
                raise

    def _begin(self) -> ThreadPoolExecutor:
        algorithm: dict[str, Any] = {"ChecksumAlgorithm": "SHA256"} if self._bucket.checksums else {}
        with self._bucket.failing(f"Writing {self._key}"):
            self._mark = mark(self._bucket, self._key)
            begun = self._bucket.client.create_multipart_upload(
                **self._bucket.named(self._key),
                Metadata={TOKEN: self._token},
                **algorithm,
                **self._bucket.at_rest(),
            )
        self._id = begun["UploadId"]
        ACTIVE.add(self._id)
        return ThreadPoolExecutor(self._bucket.settings.parts_in_flight, "s3-part")

    def _hand_over(self) -> None:
        """Send the buffer as the next part; waits while too much is on its way."""
        number = len(self._parts) + len(self._flying) + 1
        if number > self._bucket.settings.max_parts:
            raise OperationFailed(
                f"Writing {self._key} to store {self._bucket.store!r} needs more than "
                f"{self._bucket.settings.max_parts} parts; raise part_size_mib of that store and start again."
            )
        self._threads = self._threads or self._begin()
        while len(self._flying) >= self._bucket.settings.parts_in_flight:
            self._parts.append(self._flying.popleft().result())
        count = len(self._buffer)
        FLIGHT.begin(count, most_in_flight(self._bucket.settings))
        try:
            part = self._threads.submit(self._send, number, self._buffer)
        except BaseException:  # no thread can be started: what never flew must not hold up others
            FLIGHT.end(count)
            raise
        part.add_done_callback(lambda _: FLIGHT.end(count))
        self._flying.append(part)
        self._written += count
        self._size = next_part_size(self._size, self._written, self._bucket.settings.max_parts)
        self._buffer = bytearray()

    def _send(self, number: int, data: bytearray) -> CompletedPartTypeDef:
        with self._bucket.failing(f"Writing part {number} of {self._key}"):
            sent = self._bucket.client.upload_part(
                **self._bucket.named(self._key),
                UploadId=self._id,
                PartNumber=number,
                **self._bucket.payload(data),
            )
        part: CompletedPartTypeDef = {"PartNumber": number, "ETag": sent["ETag"]}
        if "ChecksumSHA256" in sent:
            part["ChecksumSHA256"] = sent["ChecksumSHA256"]
        return part
