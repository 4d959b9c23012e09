"""What a cluster answers, as errors of our own."""

from __future__ import annotations

import json
from typing import Any

from engine.errors import NotFound, OperationFailed, PlatformOpsError, TransientFailure


class Away(TransientFailure):
    """The API server does not answer, or not now: whoever waits asks again."""


class Unauthorized(OperationFailed):
    """The credentials are not taken."""


class Forbidden(OperationFailed):
    """A right lacks."""


class Conflict(TransientFailure):
    """Somebody else changed the same thing meanwhile."""


class Invalid(OperationFailed):
    """The server does not take an object: a field is unknown or wrong, or a quota or a policy refuses it."""


_AGAIN = (408, 429, 500, 502, 503, 504)


def away(cluster: str, why: object) -> Away:
    name = type(why).__name__ if isinstance(why, BaseException) else str(why)
    return Away(f"The API server of {cluster} does not answer ({name}); look at the cluster and its address.")


def refused(cluster: str, what: str, status: int, body: bytes, identity: str) -> PlatformOpsError:
    """The error of an answer that is no 2xx. `what` was asked (`get deployments/kerp-api`); `identity`: whose rights."""
    message = _message(body)
    match status:
        case 401:
            return Unauthorized(
                f"{cluster} does not take the credentials of {identity} (401): the token has expired or is wrong; log in "
                "again (for AWS `aws sso login` or a new role session) and start again."
            )
        case 403 if "exceeded quota" in message or "violates" in message:
            return Invalid(f"{cluster} refuses to {what}: {message}")
        case 403:
            return Forbidden(
                f"{identity} may not {what} in {cluster}: {message}; stack/k8s/once has the rights it needs."
            )
        case 404:
            return NotFound(f"{cluster} has no such thing: {what} ({message}).")
        case 409:
            return Conflict(f"{cluster} could not {what}: {message}")
        case 500 if "typed patch" in message:  # so an unknown field is answered in a server-side apply
            return Invalid(f"{cluster} refuses to {what}: {message.partition('): ')[2] or message}")
        case _ if status in _AGAIN:
            return away(cluster, f"{status}: {message}")
    return Invalid(f"{cluster} refuses to {what}: {message}")


def _message(body: bytes) -> str:
    try:
        found: Any = json.loads(body)
        return str(found["message"])[:1000] if isinstance(found, dict) else ""
    except (ValueError, KeyError):
        return body.decode("utf8", "replace").strip()[:200] or "it said nothing"
