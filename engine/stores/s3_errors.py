"""What S3 and the way to it answer, as one sentence each. No server's text is repeated in them."""

from __future__ import annotations

import re

import botocore.exceptions as boto
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from engine.errors import (
    ConfigurationError,
    NotFound,
    OperationFailed,
    PlatformOpsError,
    TransientFailure,
    UnsteadyStore,
)

_ACCESS = frozenset(
    (
        "AccessDenied",
        "403",
        "Forbidden",
        "401",
        "Unauthorized",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "ExpiredToken",
        "InvalidToken",
        "AllAccessDisabled",
        "AccountProblem",
        "NotSignedUp",
        "InvalidSecurity",
    )
)
_PLACE = frozenset(
    (
        "PermanentRedirect",
        "301",
        "307",
        "IllegalLocationConstraintException",
        "AuthorizationHeaderMalformed",
        "InvalidRegionError",
    )
)
_PASSING = frozenset(
    (
        "RequestTimeout",
        "RequestTimeoutException",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        "InternalError",
        "ServiceUnavailable",
        "BadDigest",
        "IncompleteBody",
        "XAmzContentSHA256Mismatch",
        "OperationAborted",
        "XAmzContentChecksumMismatch",
        "ConditionalRequestConflict",
    )
)
_NO_CREDENTIALS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.ProfileNotFound,
    boto.TokenRetrievalError,
    boto.UnauthorizedSSOTokenError,
    boto.SSOTokenLoadError,
)
_SETTINGS = (
    boto.ParamValidationError,
    boto.NoRegionError,
    boto.InvalidRegionError,
    boto.UnknownEndpointError,
)


def error_code(error: ClientError) -> str:
    """S3's word for what went wrong, or the HTTP status where the answer had no body."""
    return str(error.response.get("Error", {}).get("Code", "")) or str(_status(error))


def _status(error: ClientError) -> int:
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


def failure(error: Exception, doing: str, where: str) -> PlatformOpsError:
    """`error` as one of ours. `doing` says what failed, `where` names the store."""
    if isinstance(error, ClientError):
        return _answer(error, doing, where)
    if isinstance(error, _NO_CREDENTIALS):
        return ConfigurationError(
            f"No credentials were found for {where}; give access_key and secret_key, "
            "or set up boto3's own (environment, profile or role)."
        )
    if isinstance(error, boto.SSLError):
        return ConfigurationError(
            f"{doing} failed: the TLS certificate of {where} was not accepted; "
            "check endpoint_url and, for a private authority, AWS_CA_BUNDLE."
        )
    if isinstance(error, _SETTINGS) or (isinstance(error, ValueError) and not isinstance(error, boto.BotoCoreError)):
        return ConfigurationError(
            f"{doing} failed: boto3 does not accept the settings of {where} ({type(error).__name__}); "
            "check bucket, region, endpoint_url and the keys."
        )
    return _lost(error, doing, where)


def _lost(error: Exception, doing: str, where: str) -> PlatformOpsError:
    if isinstance(error, boto.EndpointConnectionError | boto.ConnectTimeoutError | boto.ProxyConnectionError):
        return TransientFailure(
            f"{doing} failed: the server of {where} cannot be reached; "
            "check that it runs and that endpoint_url is right, then start again."
        )
    if isinstance(error, boto.ReadTimeoutError):
        return TransientFailure(
            f"{doing} failed: the server of {where} did not answer in time; start again, or look at that server."
        )
    if isinstance(error, boto.FlexibleChecksumError):
        return UnsteadyStore(
            f"{doing} failed: what arrived from {where} differs from its checksum; start again, "
            "and if it stays so, look at that server's disks and the network to it."
        )
    if isinstance(error, ResponseParserError):
        return OperationFailed(f"{doing} failed: what answers for {where} does not speak S3; check endpoint_url.")
    return TransientFailure(f"{doing} failed: the connection to {where} broke ({type(error).__name__}); start again.")


def _answer(error: ClientError, doing: str, where: str) -> PlatformOpsError:
    code = re.sub(r"\W", "", error_code(error))[:60]
    if code in ("NoSuchBucket", "InvalidBucketName"):
        return ConfigurationError(f"{doing} failed: there is no bucket for {where} ({code}); create or correct it.")
    if code in _ACCESS:
        return ConfigurationError(
            f"{doing} failed: {where} refused access ({code}); "
            "check access_key, secret_key and what they are allowed to do there."
        )
    if code in _PLACE:
        return ConfigurationError(
            f"{doing} failed: the bucket of {where} is elsewhere ({code}); correct region or endpoint_url."
        )
    if code in ("PreconditionFailed", "412"):
        return OperationFailed(f"{doing} failed: somebody replaced it in {where} meanwhile; start again.")
    if code == "RequestTimeTooSkewed":
        return ConfigurationError(f"{doing} failed: this host's clock differs from that of {where}; set it.")
    if code.startswith("KMS"):
        return ConfigurationError(f"{doing} failed: {where} cannot use its key ({code}); check kms_key_id.")
    if code == "NoSuchKey":
        return NotFound(f"{doing} failed: it is not in {where}.")
    if code.isdigit() and code != "501":
        kind = TransientFailure if code == "429" or code >= "500" else OperationFailed
        return kind(
            f"{doing} failed: {where} answered {code} without a word of S3; check endpoint_url and bucket, "
            "or look at that server."
        )
    if code in ("NotImplemented", "501"):
        return OperationFailed(f"{doing} failed: {where} does not offer it ({code}); use another server.")
    if code in _PASSING or _status(error) >= 500:
        return TransientFailure(f"{doing} failed: {where} answered {code}; start again, or look at that server.")
    return OperationFailed(f"{doing} failed: {where} answered {code} (status {_status(error)}); look it up there.")
