"""What things of the configuration are called."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
"""A source's, store's or host's name: it becomes a folder, an S3 key and a Prefect block's name."""
LOCAL = "local"
"""The host that is always there: this machine."""


def _name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError(
            "use 1 to 63 lower-case letters, digits and inner hyphens (it becomes a folder and a block name)"
        )
    return value


Name = Annotated[str, AfterValidator(_name)]
