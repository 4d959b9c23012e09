"""How verdicts are named: all that follows from one is in its key, so that a listing reads nothing."""

from __future__ import annotations

import hmac
import re
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from engine.repository.keys import STAMP, TIME, VERDICTS, Asset, SetKey, moment, source_prefix
from engine.repository.parsing import parse_asset

Check = Literal["verify", "drill", "source"]
"""What was done: its bytes were read again, it was restored, or the source was looked at and is as it was then."""
VerdictResult = Literal["passed", "failed", "unverified", "sampled", "incomplete"]

_NAME = re.compile(
    rf"({STAMP}-[a-z0-9]{{4,32}})\.{STAMP}"
    r"-(verify|drill|source)-(passed|failed|unverified|(?<=-drill-)(?:sampled|incomplete))(?:-([0-9a-f]{16}))?\.json"
)


class VerdictKey(NamedTuple):
    """An immutable file that says what a verification or a drill found of a set.

    `tag` is made of all the rest with the repository's digest key ('' where there is none): see `sealed`.
    """

    set: SetKey
    at: datetime
    check: Check
    result: VerdictResult
    tag: str = ""

    def __str__(self) -> str:
        return f"{self._untagged}-{self.tag}.json" if self.tag else f"{self._untagged}.json"

    @property
    def _untagged(self) -> str:
        at, own = self.at.astimezone(UTC).strftime(TIME), source_prefix(self.set.source)
        return f"{own}{VERDICTS}/{str(self.set).removeprefix(own)}.{at}-{self.check}-{self.result}"

    def tagged(self, digest_key: str | None) -> VerdictKey:
        """The same verdict with the tag that only who has the key can make; without one when there is no key."""
        if digest_key is None:
            return self._replace(tag="")
        tag = hmac.digest(digest_key.encode(), f"verdict {self._untagged}".encode(), "sha256").hex()
        return self._replace(tag=tag[:16])


def verdict_folder(folder: str) -> Asset | None:
    """The asset whose verdicts are in `folder` (no final `/`); None when there are none of ours."""
    match folder.split("/", 2):
        case [source, where, path] if where == VERDICTS:
            return parse_asset(f"{source}/{path}")
    return None


def verdict_named(asset: Asset, name: str) -> VerdictKey | None:
    """The verdict that the file `name` is, in the asset's folder of verdicts; None when it is none."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    set_id, begun, stamp, check, result, tag = match.groups("")
    at = moment(stamp)
    if at is None or moment(begun) is None:
        return None
    return VerdictKey(asset.set(set_id), at, check, result, tag)  # type: ignore[arg-type]
