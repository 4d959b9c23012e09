"""A boto3 client from a store's settings: credentials, checksums, bounded waiting."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from engine.errors import ConfigurationError
from engine.secrets import resolve
from engine.stores.base import checked_key
from engine.stores.s3_bucket import Bucket, content_md5
from engine.stores.s3_errors import failure
from engine.stores.s3_listing import read_quickly
from engine.stores.settings import S3Settings

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one call may take: `attempts` times the waiting, and a few seconds between them.

    Completing an upload of thousands of parts takes a server half a minute, hence 60 seconds.
    """

    connect_seconds: float = 10
    read_seconds: float = 60
    attempts: int = 4


def open_bucket(store: str, settings: S3Settings, patience: Patience) -> Bucket:
    """The bucket, not yet asked anything.

    Raises:
        ConfigurationError: a secret that is not there, or settings that cannot be used.
    """
    prefix = settings.prefix.strip("/")
    if prefix:
        prefix = checked_key(prefix) + "/"
    _check_endpoint(store, settings.endpoint_url)
    if bool(settings.access_key) != bool(settings.secret_key):
        raise ConfigurationError(
            f"Store {store!r} has only one of access_key and secret_key; give both, or neither for boto3's own."
        )
    client = _client(store, settings, patience)
    read_quickly(client)
    bucket = Bucket(client, store, prefix, settings)
    if not bucket.checksums:
        client.meta.events.register("before-call.s3.DeleteObjects", _old_digest)
    return bucket


_one_at_a_time = Lock()  # boto3 sessions may not be shared by threads, the clients they make may


@cache
def _session() -> boto3.session.Session:
    """Reading boto3's data takes a tenth of a second: once for all stores with keys of their own."""
    return boto3.session.Session()


def _client(store: str, settings: S3Settings, patience: Patience) -> S3Client:
    access_key, secret_key = _secret(settings.access_key), _secret(settings.secret_key)
    try:
        with _one_at_a_time:
            # Without keys boto3's own chain decides, and that is asked anew each time.
            session = _session() if access_key else boto3.session.Session()
            region = settings.region or session.region_name
            return session.client(
                "s3",
                aws_access_key_id=access_key,
                aws_secret_access_key=secret_key,
                region_name=region or ("us-east-1" if settings.endpoint_url else None),
                endpoint_url=settings.endpoint_url or None,
                config=_config(settings, patience),
            )
    except (BotoCoreError, ValueError) as error:
        raise failure(error, "Opening it", f"store {store!r} (s3://{settings.bucket})") from None


def _config(settings: S3Settings, patience: Patience) -> Config:
    elsewhere = bool(settings.endpoint_url)
    path_style = elsewhere if settings.path_style is None else settings.path_style
    checksums = settings.checksums or ("when_required" if elsewhere else "when_supported")
    return Config(
        connect_timeout=patience.connect_seconds,
        read_timeout=patience.read_seconds,
        retries={"mode": "standard", "total_max_attempts": patience.attempts},
        max_pool_connections=settings.parts_in_flight + 4,
        s3={"addressing_style": "path" if path_style else "auto"},
        request_checksum_calculation=checksums,
        # A server that knows no checksums passes over the question, unless somebody says that this one does not.
        response_checksum_validation=settings.checksums or "when_supported",
    )


def _secret(reference: str | None) -> str | None:
    return resolve(reference) if reference else None


def _check_endpoint(store: str, endpoint_url: str) -> None:
    if not endpoint_url:
        return
    try:
        parts = urlsplit(endpoint_url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or "@" in endpoint_url:  # the address is not repeated: it may hold a password
        raise ConfigurationError(
            f"endpoint_url of store {store!r} is not an address such as https://s3.example.com; correct it "
            "(credentials go into access_key and secret_key)."
        )


def _old_digest(params: dict[str, Any], **_: Any) -> None:
    """Send a delete of several keys with Content-MD5: servers that know nothing newer insist on it."""
    params.get("context", {}).get("checksum", {}).pop("request_algorithm", None)
    params["headers"]["Content-MD5"] = content_md5(params["body"])
