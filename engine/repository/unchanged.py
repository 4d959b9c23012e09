"""That a source was looked at and is as it was: what counts in the place of a set where nothing new is stored.

A verdict of the check `source` beside the set that the source still equals: so whoever waits for new sets is told from
keys alone, and the next look finds what this one saw.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from engine.errors import CouldNotVerify, OperationFailed
from engine.repository.catalogue import catalogue
from engine.repository.keys import SetKey
from engine.repository.repository import Repository
from engine.repository.stored import AHEAD, Catalogue
from engine.repository.verdict_keys import VerdictKey
from engine.repository.verdicts import newest, read_verdict, record_verdict

EVERY = timedelta(hours=1)
"""A look that tells nothing new is written down so often."""


def last_seen(
    repository: Repository, key: SetKey, now: datetime, stored: Catalogue | None = None
) -> tuple[VerdictKey, Mapping[str, Any]] | None:
    """When the source was last seen to be as in this set, and what was written down of that; None: never. One that is
    damaged is no look, nor one that a clock that was wrong dated in the future. `stored`: what a listing has just found.

    Raises:
        PlatformOpsError: the store cannot be listed or read.
    """
    verdicts = (stored or catalogue(repository, key.source)).verdicts_of(key)
    verdict = newest((one for one in verdicts if one.at - now < AHEAD), "source")
    if verdict is None:
        return None
    try:
        seen = read_verdict(repository, verdict).get("seen")
    except (OperationFailed, CouldNotVerify) as error:
        if error.retryable:
            raise
        seen = None
    return verdict, seen if isinstance(seen, dict) else {}


def record_unchanged(repository: Repository, key: SetKey, now: datetime, seen: Mapping[str, Any]) -> None:
    """Write down that the source is as in this set, with what was `seen`; not when the last look saw the same just now.

    Raises:
        PlatformOpsError: the store cannot be read or written.
    """
    last = last_seen(repository, key, now)
    if last is None or last[1] != seen or not timedelta(0) <= now - last[0].at < EVERY:
        record_verdict(repository, VerdictKey(key, now, "source", "passed"), {"seen": dict(seen)})
