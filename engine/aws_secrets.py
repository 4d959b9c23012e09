"""Secrets that AWS has: of Secrets Manager, and the passwords that RDS makes of a role's IAM credentials.

Who we are is for boto3's own chain to find: variables, a profile, the role of a host or a pod. Nothing is written down;
what was fetched is kept in memory for a minute, so that the sessions of a backup run are no hundred calls.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from threading import Lock
from typing import Any

from engine.errors import ConfigurationError, PlatformOpsError, TransientFailure

SECRET_SECONDS, TOKEN_SECONDS = 60.0, 300.0
"""How long a secret and a token are used again. A token opens sessions for 15 minutes."""
_IAM = re.compile(r"(?P<user>[^\s]+)@(?P<host>[^\s@/:]+):(?P<port>\d{1,5})(?:/(?P<region>[a-z0-9-]+))?")
_REGION = re.compile(r"\.([a-z0-9-]+)\.rds\.amazonaws\.com(?:\.cn)?$")
_ARN = re.compile(r"arn:[\w-]+:secretsmanager:([a-z0-9-]+):")
_OF_THE_MOMENT = ("Throttl", "InternalService", "ServiceUnavailable", "RequestTimeout")

_lock = Lock()
_kept: dict[str, tuple[float, str]] = {}


def is_iam(reference: str) -> bool:
    """Whether it names what a token is made for: `user@host:port`, with `/region` where the host does not tell it."""
    return _IAM.fullmatch(reference) is not None


def from_secrets_manager(reference: str) -> str:
    """The secret `name` (or ARN); of one that is a JSON object the value at `name#key`.

    Raises:
        ConfigurationError: there is no such secret or key, or we may not read it.
        TransientFailure: AWS does not answer.
    """
    name, _, key = reference.partition("#")
    arn = _ARN.match(name)
    text = _fetched(f"aws:{name}", SECRET_SECONDS, lambda: _secret(name, arn[1] if arn else None))
    return _value_at(text, name, key)


def iam_token(reference: str) -> str:
    """A password for the role `user` of the RDS server `host:port`, as IAM gives it; made on this host.

    Raises:
        ConfigurationError: there are no credentials, or no region is known.
    """
    found = _IAM.fullmatch(reference)
    if found is None:
        raise ConfigurationError(
            f"rds-iam:{reference} is no user@host:port; give the role, the server's own name and port."
        )
    region_in_host = _REGION.search(found["host"])
    region = found["region"] or (region_in_host[1] if region_in_host else None)

    def make() -> str:
        client = _client("rds", region, f"rds-iam:{reference}")
        token = client.generate_db_auth_token(
            DBHostname=found["host"], Port=int(found["port"]), DBUsername=found["user"]
        )
        return str(token)

    return _fetched(f"rds-iam:{reference}", TOKEN_SECONDS, make)


def _fetched(reference: str, seconds: float, fetch: Callable[[], str]) -> str:
    """One thread asks, the others wait for it."""
    from botocore.exceptions import BotoCoreError, ClientError

    with _lock:
        at, value = _kept.get(reference, (0.0, ""))
        if not value or time.monotonic() - at > seconds:
            try:
                value = fetch()
            except (BotoCoreError, ClientError) as error:
                raise _problem(reference, error) from None
            _kept[reference] = (time.monotonic(), value)
        return value


def _secret(name: str, region: str | None) -> str:
    answer = _client("secretsmanager", region, f"aws:{name}").get_secret_value(SecretId=name)
    if "SecretString" in answer:
        return str(answer["SecretString"])
    try:
        return bytes(answer["SecretBinary"]).decode("utf8")
    except UnicodeDecodeError:
        raise ConfigurationError(f"The secret aws:{name} is not text (UTF-8); store it as a string.") from None


def _client(service: str, region: str | None, reference: str) -> Any:
    import boto3  # takes a third of a second, and most configurations have no such secret
    from botocore.config import Config

    session = boto3.session.Session()
    if not (region or session.region_name):
        raise ConfigurationError(
            f"No region is known for the secret {reference}; set AWS_REGION, or give it in the reference."
        )
    config = Config(connect_timeout=10, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 4})
    client: Any = session.client(service, region_name=region or session.region_name, config=config)  # type: ignore[call-overload]
    return client


def _value_at(text: str, name: str, key: str) -> str:
    """What was stored as one text is one; of an object somebody has to say which value."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    keys = found if isinstance(found, dict) else {}
    if not key and not keys:
        return text
    if isinstance(value := keys.get(key), str):
        return value
    content = f"has the keys {', '.join(sorted(map(str, keys)))}" if keys else "is no JSON object"
    raise ConfigurationError(
        f"The secret aws:{name} {content}; give aws:{name}{'#key with one of them' if keys else ''}."
    )


def _problem(reference: str, error: Exception) -> PlatformOpsError:
    from botocore.exceptions import ClientError, HTTPClientError, NoCredentialsError
    from botocore.exceptions import ConnectionError as NoConnection

    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code.startswith(_OF_THE_MOMENT):
            return TransientFailure(f"AWS does not give the secret {reference} now ({code}); try again.")
        return ConfigurationError(
            f"AWS does not give the secret {reference} ({code}); correct its name, or let this host's role read it."
        )
    if isinstance(error, (NoConnection, HTTPClientError)):
        return TransientFailure(f"AWS cannot be reached for the secret {reference}: {type(error).__name__}; try again.")
    if isinstance(error, NoCredentialsError):
        return ConfigurationError(
            f"No AWS credentials are found here for the secret {reference}; give this host a role or keys."
        )
    return ConfigurationError(
        f"The secret {reference} cannot be had: {type(error).__name__}; correct AWS's settings here."
    )
