"""`prefect:NAME` references, read from Prefect's own Secret blocks."""

from __future__ import annotations

from typing import Any, cast

from prefect.blocks.system import Secret

from engine.errors import ConfigurationError
from engine.secrets import register_resolver


def secret_block(name: str) -> str:
    """What the Secret block `name` holds.

    Raises:
        ConfigurationError: there is no such block, or it holds no text.
    """
    load = cast(Any, Secret.load)
    try:
        value = load(name, _sync=True).get()
    except ValueError:
        raise ConfigurationError(
            f"There is no Secret block {name} in Prefect; create it in the UI (Blocks, Secret) "
            "or give the secret as env: or file:."
        ) from None
    if not isinstance(value, str):
        raise ConfigurationError(f"The Secret block {name} holds no text; save the secret in it as a string.")
    return value


def register_prefect_secrets() -> None:
    """Let `engine.secrets.resolve` read `prefect:` references in this process."""
    register_resolver("prefect", secret_block)
