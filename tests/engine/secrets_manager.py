"""AWS as moto has it, with secrets in Secrets Manager."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from engine import aws_secrets


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A secret of RDS's shape, and one that is text."""
    for name, value in {
        "ACCESS_KEY_ID": "tester",
        "SECRET_ACCESS_KEY": "x",
        "DEFAULT_REGION": "ap-northeast-2",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    aws_secrets._kept.clear()
    with mock_aws():
        client = boto3.client("secretsmanager", region_name="ap-northeast-2")
        client.create_secret(Name="kerp/prod/db", SecretString='{"username": "master", "password": "of the master"}')
        client.create_secret(Name="kerp/prod/db-password", SecretString="of the master\n")
        yield
    aws_secrets._kept.clear()
