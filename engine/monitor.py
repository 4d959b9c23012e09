"""Tell a monitor outside that an operation succeeded; the monitor tells when that stops.

A push monitor's address holds its token, so it is a secret: given by reference, never shown.
"""

from __future__ import annotations

import httpx

from engine.errors import ConfigurationError, TransientFailure
from engine.secrets import SecretReference, resolve

_SECONDS = 15
_TRIES = 3


def push(reference: SecretReference, operation: str) -> None:
    """Call the address once; a lost connection is tried again.

    Raises:
        ConfigurationError: it is no http address.
        TransientFailure: the monitor does not answer, or refuses.
    """
    address = resolve(reference)
    try:
        with httpx.Client(transport=httpx.HTTPTransport(retries=_TRIES), timeout=_SECONDS) as client:
            answer = client.get(address)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise ConfigurationError(
            f"The monitor of {operation} ({reference}) is no http address; correct what the reference gives."
        ) from None
    except httpx.HTTPError as error:
        raise TransientFailure(
            f"The monitor of {operation} ({reference}) does not answer ({type(error).__name__}); "
            "the operation itself succeeded."
        ) from None
    if answer.is_error:
        raise TransientFailure(
            f"The monitor of {operation} ({reference}) answers {answer.status_code}; the operation itself succeeded."
        )
