"""Listing a bucket of hundreds of thousands of keys without spending the night on it.

boto3 takes about 90 microseconds to make sense of one listed key, most of it for values nobody
looks at. Here the three that are wanted are read from the answer first, and boto3 gets the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from engine.stores.base import StoredFolder, StoredObject, is_key
from engine.stores.s3_bucket import Bucket

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


def objects(bucket: Bucket, prefix: str) -> Iterator[StoredObject]:
    """What is stored under `prefix`, in key order; a thousand keys cost one request.

    Keys that cannot be ours (another program's in the same bucket) are left out.
    """
    own = len(bucket.prefix)
    pages = bucket.client.get_paginator("list_objects_v2")
    for page in pages.paginate(Bucket=bucket.name, Prefix=bucket.prefix + prefix):
        for found in page.get("Contents", ()):
            key = found["Key"][own:]
            if is_key(key):
                yield StoredObject(key, found["Size"], found["LastModified"])


def folders(bucket: Bucket, prefix: str) -> Iterator[StoredFolder]:
    """The same, those in a row that share a folder at once, with their sizes."""
    path, size = "", 0
    names: list[str] = []
    for found in objects(bucket, prefix):
        parent, _, name = found.key.rpartition("/")
        if parent != path and names:
            yield StoredFolder(path, names, size)
            names, size = [], 0
        path = parent
        names.append(name)
        size += found.size
    if names:
        yield StoredFolder(path, names, size)


def read_quickly(client: S3Client) -> None:
    """Let `client` list as this module's docstring says."""
    client.meta.events.register("before-parse.s3.ListObjectsV2", _take_contents)


def _take_contents(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    if response_dict["status_code"] != 200:
        return
    try:
        root = ElementTree.fromstring(response_dict["body"])  # noqa: S314 - boto3 would do the same
        namespace = root.tag.rpartition("}")[0] + "}" if root.tag.startswith("{") else ""
        listed = root.findall(f"{namespace}Contents")
        contents = [_content(item, namespace) for item in listed]
    except (ElementTree.ParseError, TypeError, ValueError):
        return  # an answer of another kind: boto3 says what is wrong with it
    for item in listed:
        root.remove(item)
    response_dict["body"] = ElementTree.tostring(root)
    if contents:
        customized_response_dict["Contents"] = contents


def _content(item: ElementTree.Element, namespace: str) -> dict[str, Any]:
    modified = datetime.fromisoformat(str(item.findtext(f"{namespace}LastModified")))
    return {
        "Key": item.findtext(f"{namespace}Key") or "",
        "Size": int(str(item.findtext(f"{namespace}Size"))),
        "LastModified": modified if modified.tzinfo is UTC else modified.astimezone(UTC),
    }
