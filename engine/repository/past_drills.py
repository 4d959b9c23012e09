"""What the verdicts of past drills hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from engine.errors import PlatformOpsError
from engine.repository.keys import Asset
from engine.repository.repository import Repository
from engine.repository.verdict_keys import VerdictKey
from engine.repository.verdicts import newest, read_verdict


def past_drills(
    repository: Repository, verdicts: Iterable[VerdictKey], asset: Asset, count: int = 10
) -> tuple[Mapping[str, Any], ...]:
    """The documents of the newest drills of an asset's sets, newest first.

    One that cannot be read is passed over: the trend is not evidence.
    """
    drills = [one for one in verdicts if one.check == "drill" and one.set.asset == asset]
    found: list[Mapping[str, Any]] = []
    for key in sorted(drills, key=lambda one: one.at, reverse=True)[: 2 * count]:
        try:
            found.append(read_verdict(repository, key))
        except PlatformOpsError:
            continue
        if len(found) == count:
            break
    return tuple(found)


def seen_missing(repository: Repository, verdicts: Iterable[VerdictKey]) -> tuple[str, ...]:
    """What the newest drill of a set, whose verdicts these are, found missing in it; () where that cannot be read."""
    key = newest((one for one in verdicts if one.result in ("passed", "incomplete", "sampled")), "drill")
    try:
        found = read_verdict(repository, key).get("missing") if key else ()
    except PlatformOpsError:
        return ()
    return tuple(str(what) for what in found) if isinstance(found, list) else ()
