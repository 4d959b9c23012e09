"""Deleting exact keys from S3, a thousand at a time; what an object lock holds is retained.

In a bucket with object lock a plain delete only hides an object: its bytes stay, and are paid for.
There each version is deleted by its id, and an object that is still locked stays visible, so that
a later delete finds it again. In any other bucket a plain delete is right (where versioning is on,
the bucket's own lifecycle rule removes what became noncurrent).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from engine.errors import ConfigurationError, TransientFailure
from engine.stores.base import Deletion, checked_key
from engine.stores.s3_bucket import Bucket

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import ErrorTypeDef, ObjectIdentifierTypeDef

_BATCH = 1000  # S3's limit for one request
_REFUSED = ("AccessDenied", "InvalidRequest", "ObjectLocked", "MethodNotAllowed")
_GONE = ("NoSuchKey", "NoSuchVersion")
_TRIES = 3


def delete_keys(bucket: Bucket, keys: Iterable[str]) -> Deletion:
    """Delete exactly `keys`."""
    deleted: list[str] = []
    retained: list[str] = []
    names = iter(keys)
    locked = None
    while batch := list(dict.fromkeys(checked_key(key) for key in islice(names, _BATCH))):
        with bucket.failing(f"Deleting {batch[0]} and what was listed after it"):
            locked = has_object_lock(bucket) if locked is None else locked
            kept = _delete_versions(bucket, batch) if locked else _delete_plainly(bucket, batch)
        deleted += [key for key in batch if key not in kept]
        retained += [key for key in batch if key in kept]
    return Deletion(tuple(deleted), tuple(retained))


def has_object_lock(bucket: Bucket) -> bool:
    """Whether the settings or the bucket itself put objects under a lock."""
    if bucket.settings.lock_mode and bucket.settings.lock_days:
        return True
    try:
        found = bucket.client.get_object_lock_configuration(Bucket=bucket.name)
    except ClientError:  # no such configuration, no such feature, or no right to ask
        return False
    return found.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") == "Enabled"


def _delete_plainly(bucket: Bucket, keys: Sequence[str]) -> frozenset[str]:
    refused = _delete(bucket, [{"Key": bucket.prefix + key} for key in keys])
    if refused:
        raise _not_allowed(bucket, refused[0])
    return frozenset()


def _delete_versions(bucket: Bucket, keys: Sequence[str]) -> frozenset[str]:
    """Delete every version of each key; the keys of which a lock holds one.

    Old versions go first, and the newest only when all of them went: otherwise one of them would
    show up in its place.
    """
    versions = list(_versions(bucket, frozenset(bucket.prefix + key for key in keys)))
    kept: set[str] = set()
    for latest in (False, True):
        turn = [
            version
            for version, newest in versions
            if newest is latest and version["Key"].removeprefix(bucket.prefix) not in kept
        ]
        for start in range(0, len(turn), _BATCH):
            for refused in _delete(bucket, turn[start : start + _BATCH]):
                if not _is_locked(bucket, refused):
                    raise _not_allowed(bucket, refused)
                kept.add(refused["Key"].removeprefix(bucket.prefix))
    return frozenset(kept)


def _versions(bucket: Bucket, wanted: frozenset[str]) -> Iterator[tuple[ObjectIdentifierTypeDef, bool]]:
    """Each version of the wanted keys and whether it is the newest; one listing for each folder."""
    pages = bucket.client.get_paginator("list_object_versions")
    for folder in sorted({key.rpartition("/")[0] for key in wanted}):
        prefix = f"{folder}/" if folder else ""
        for page in pages.paginate(Bucket=bucket.name, Prefix=prefix, Delimiter="/"):
            for found in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                if found["Key"] in wanted:
                    yield {"Key": found["Key"], "VersionId": found["VersionId"]}, found["IsLatest"]


def _delete(bucket: Bucket, objects: Sequence[ObjectIdentifierTypeDef]) -> list[ErrorTypeDef]:
    """Delete them; what the server refused. A failure of the moment is tried again."""
    left = list(objects)
    refused: list[ErrorTypeDef] = []
    for _ in range(_TRIES):
        answer = bucket.client.delete_objects(Bucket=bucket.name, Delete={"Objects": left, "Quiet": True})
        errors = [error for error in answer.get("Errors", ()) if error.get("Code") not in _GONE]
        refused += [error for error in errors if error.get("Code") in _REFUSED]
        again = {(error.get("Key"), error.get("VersionId")) for error in errors if error not in refused}
        left = [item for item in left if (item["Key"], item.get("VersionId")) in again]
        if not left:
            return refused
    raise TransientFailure(
        f"Deleting {left[0]['Key']} failed: store {bucket.store!r} ({bucket.address}) could not do it "
        f"{_TRIES} times; start again, or look at that server."
    )


def _is_locked(bucket: Bucket, refused: ErrorTypeDef) -> bool:
    message = refused.get("Message", "").lower()
    if "object lock" in message or "worm" in message or refused.get("Code") == "ObjectLocked":
        return True
    try:
        found = bucket.client.head_object(
            Bucket=bucket.name, Key=refused["Key"], VersionId=refused.get("VersionId", "")
        )
    except ClientError:
        return False
    until = found.get("ObjectLockRetainUntilDate")
    return found.get("ObjectLockLegalHoldStatus") == "ON" or (until is not None and until > datetime.now(UTC))


def _not_allowed(bucket: Bucket, refused: ErrorTypeDef) -> ConfigurationError:
    return ConfigurationError(
        f"Deleting {refused.get('Key', '')} is not allowed in store {bucket.store!r} ({bucket.address}): "
        f"{refused.get('Code', '')}; give its access_key the right to delete, or delete nothing from here."
    )
