"""Multipart uploads that killed writers left, also on servers that list them only by their exact key (MinIO).

There nobody can ask what is unfinished who does not know the key. So while an upload runs, off AWS, an empty object
under `.uploads/` says for which key: a segment with a dot in front is no key of a store, and no listing shows it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from botocore.exceptions import ClientError

from engine.errors import PlatformOpsError
from engine.stores.s3_bucket import Bucket
from engine.stores.s3_errors import error_code

ACTIVE: set[str] = set()
"""Multipart uploads this process is writing now; a sweep leaves them alone."""

_MARKS = ".uploads/"
_NO_LISTING = ("NotImplemented", "501", "MethodNotAllowed", "405")


def mark(bucket: Bucket, key: str) -> str:
    """Say that an upload for this key begins; the version of what says so, where the bucket has versions."""
    if not bucket.settings.endpoint_url:
        return ""
    return bucket.client.put_object(**bucket.named(_MARKS + key), **bucket.payload(b"")).get("VersionId", "")


def unmark(bucket: Bucket, key: str, version: str) -> None:
    """It has ended, well or not. A mark that stays costs the next sweep a question."""
    if bucket.settings.endpoint_url:
        exact: dict[str, Any] = {"VersionId": version} if version else {}  # a plain delete would only hide it
        with suppress(PlatformOpsError), bucket.failing("Removing the mark of an upload"):
            bucket.client.delete_object(**bucket.named(_MARKS + key), **exact)


def sweep_uploads(bucket: Bucket, prefix: str) -> int:
    """Abort what killed writers left under `prefix`, and remove the marks; how many. None where a server lists no uploads.

    The caller turns boto3's errors into ours.
    """
    try:
        swept = sum(_abort(bucket, *upload) for upload in _abandoned(bucket, bucket.prefix + prefix))
        for key in _marked(bucket, prefix):
            swept += _swept(bucket, key)
    except ClientError as error:
        if error_code(error) not in _NO_LISTING:
            raise
        return 0
    return swept


def _swept(bucket: Bucket, key: str) -> int:
    full = bucket.prefix + key
    found = list(_of_key(bucket, full))
    swept = sum(_abort(bucket, full, upload) for upload in found if upload not in ACTIVE)
    if ACTIVE.isdisjoint(found):
        version = bucket.client.head_object(**bucket.named(_MARKS + key)).get("VersionId", "")
        unmark(bucket, key, version)
    return swept


def _marked(bucket: Bucket, prefix: str) -> Iterator[str]:
    start = bucket.prefix + _MARKS
    pages = bucket.client.get_paginator("list_objects_v2")
    for page in pages.paginate(Bucket=bucket.name, Prefix=start + prefix):
        for found in page.get("Contents", ()):
            yield found["Key"].removeprefix(start)


def _of_key(bucket: Bucket, full_key: str) -> Iterator[str]:
    return (upload for key, upload in _listed(bucket, full_key) if key == full_key)


def _abandoned(bucket: Bucket, start: str) -> Iterator[tuple[str, str]]:
    """Full key and id of each upload under `start` that is not being written by this process."""
    return (found for found in _listed(bucket, start) if found[0].startswith(start) and found[1] not in ACTIVE)


def _listed(bucket: Bucket, prefix: str) -> Iterator[tuple[str, str]]:
    pages = bucket.client.get_paginator("list_multipart_uploads")
    for page in pages.paginate(Bucket=bucket.name, Prefix=prefix):
        for upload in page.get("Uploads", ()):
            yield upload["Key"], upload["UploadId"]


def _abort(bucket: Bucket, full_key: str, upload_id: str) -> bool:
    try:
        bucket.client.abort_multipart_upload(Bucket=bucket.name, Key=full_key, UploadId=upload_id)
    except ClientError as error:
        if error_code(error) != "NoSuchUpload":  # gone since it was listed
            raise
        return False
    return True
