"""Names of part files: who is writing, so that a later run knows what nobody will finish.

`.part-<process>-<random>`: `engine.hosts.identity` says which process (the only thing of that room that stores use).
The leading dot keeps it from ever being a key.
"""

from __future__ import annotations

import re
import secrets

from engine.hosts.identity import PROCESS, has_abandoned, this_process

_NAME = re.compile(rf"\.part-(?P<process>{PROCESS})-[0-9a-f]{{16}}")


def is_part(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def new_part_name() -> str:
    return f".part-{this_process()}-{secrets.token_hex(8)}"


def is_abandoned(name: str, modified: float) -> bool:
    """Nobody writes this part file any more; `modified` is when it was last written (seconds since the epoch)."""
    match = _NAME.fullmatch(name)
    return match is not None and has_abandoned(match["process"], modified)
