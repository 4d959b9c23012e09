"""Names of objects as everything here writes them."""

from __future__ import annotations

import re

_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_]*")


def plain_name(schema: str, name: str) -> str:
    """`schema.name`, quoted by a rule that no version's list of keywords changes."""
    return ".".join(
        part if _PLAIN_NAME.fullmatch(part) else '"' + part.replace('"', '""') + '"' for part in (schema, name)
    )
