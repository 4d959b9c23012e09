"""A bucket on a test server: the store on it, and a plain client to look behind the store's back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from engine.stores.s3 import S3Store, open_s3
from engine.stores.s3_client import Patience
from engine.stores.settings import S3Settings
from tests.engine.stores.servers import KEY_VARIABLE, SECRET_VARIABLE, S3Server

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

IMPATIENT = Patience(connect_seconds=1, read_seconds=1, attempts=2)
MIB = 2**20


@dataclass(frozen=True)
class S3Bucket:
    """The bucket `name` on `server`."""

    server: S3Server
    name: str

    @property
    def client(self) -> S3Client:
        return plain_client(self.server)

    def settings(self, **changes: Any) -> S3Settings:
        given: dict[str, Any] = {
            "bucket": self.name,
            "endpoint_url": self.server.url,
            "access_key": f"env:{KEY_VARIABLE}",
            "secret_key": f"env:{SECRET_VARIABLE}",
            "part_size_mib": 5,
        }
        return S3Settings.model_validate({**given, **changes})

    def store(self, patience: Patience | None = None, **changes: Any) -> S3Store:
        return open_s3("nightly", self.settings(**changes), patience)

    def uploads(self) -> list[str]:
        """The keys of unfinished multipart uploads, as the server lists them."""
        found = self.client.list_multipart_uploads(Bucket=self.name)
        return sorted(upload["Key"] for upload in found.get("Uploads", ()))

    def object_keys(self) -> list[str]:
        """The keys of all objects but the marks."""
        return [key for key in self._keys() if ".uploads/" not in key]

    def marks(self) -> list[str]:
        """The keys of the objects that say for what uploads run."""
        return [key for key in self._keys() if ".uploads/" in key]

    def _keys(self) -> list[str]:
        found = self.client.list_objects_v2(Bucket=self.name)
        return [item["Key"] for item in found.get("Contents", ())]


@cache
def plain_client(server: S3Server) -> S3Client:
    """A client that goes straight to the server (making one takes a quarter of a second)."""
    session = boto3.session.Session(server.access_key, server.secret_key, region_name="us-east-1")
    return session.client(
        "s3",
        endpoint_url=server.url,
        config=Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
    )
