"""What all settings are made of."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Settings never change once read, and a key that means nothing is a typing mistake.

    The text under a field is its help in Prefect's form for the block.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
