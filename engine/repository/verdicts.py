"""Verdicts: immutable files that say what a verification or a drill found, and what follows for a set.

**The state of a set**, from the keys of its verdicts alone:

1. `passed`, `incomplete` and `failed` decide. `incomplete` is a drill's pass of a set that does not hold
   everything, by its manifest or by what the drill saw: it proves what is there, and whoever calls the set
   proven says that too (`remarks`). `unverified` (nothing could be shown) and `sampled` (nothing differs,
   but only some rows were compared) neither make nor unmake a state.
2. Of each check (verify, drill) the newest deciding verdict counts; in the same second `failed` wins.
3. *failed* when one of the two failed and nothing outweighs it. A failed verification is outweighed by a later pass
   of either check: a drill reads all of a set. A failed drill is outweighed by a later drill alone: a set that does not
   restore is not saved by equal bytes.
4. Else *proven* when a drill passed, *verified* when a verification passed, *recorded* otherwise.
"""

from __future__ import annotations

import hmac
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any, Literal

from engine.errors import CouldNotVerify, OperationFailed
from engine.repository.keys import SetKey
from engine.repository.repository import Repository
from engine.repository.verdict_keys import Check, VerdictKey, VerdictResult
from engine.stores.base import read_small

State = Literal["recorded", "verified", "proven", "failed"]
GOOD: tuple[State, ...] = ("verified", "proven")

SCHEMA = 1
KEPT_DAYS = 90
SEEN_DAYS = 15
"""Two weeks and a day: the trail that vouches for the clock (`retention.clock_doubt`)."""
PASSED: tuple[VerdictResult, ...] = ("passed", "incomplete")
_DECIDING = (*PASSED, "failed")
_LARGEST = 16 * 2**20
_TRIES = 60


def state_of(verdicts: Iterable[VerdictKey]) -> State:
    """The state of the one set whose verdicts these are; see the module's rule."""
    deciding = _deciding(verdicts)
    drill, verify = deciding.get("drill"), deciding.get("verify")
    if drill and drill.result == "failed":
        return "failed"
    if verify and verify.result == "failed" and not (drill and drill.at > verify.at):
        return "failed"
    if drill:
        return "proven"
    return "verified" if "verify" in deciding else "recorded"


def remarks(verdicts: Iterable[VerdictKey]) -> dict[SetKey, str]:
    """What a state alone does not say of the sets that drills passed.

    `incomplete`: something is not in the set. `sampled`: its newest drill compared a sample of the rows.
    """
    last: dict[SetKey, VerdictKey] = {}
    for verdict in verdicts:
        if verdict.check == "drill" and verdict.result != "unverified":
            known = last.get(verdict.set)
            if known is None or _order(verdict) > _order(known):
                last[verdict.set] = verdict
    return {key: one.result for key, one in last.items() if one.result in ("incomplete", "sampled")}


def newest(verdicts: Iterable[VerdictKey], check: Check) -> VerdictKey | None:
    """The newest verdict of a check, whatever its result."""
    return max((verdict for verdict in verdicts if verdict.check == check), key=_order, default=None)


def expired(verdicts: Collection[VerdictKey], living: Iterable[SetKey], now: datetime) -> tuple[VerdictKey, ...]:
    """Verdicts that may go. `living` are the sets that still exist.

    Each verdict is kept for 90 days, so that the trend of past drills outlives the sets; longer only
    while it decides the state of a set that exists. That the source was seen to be as it was, of which there may be one
    each hour, is kept for two weeks, and the last of each set.
    """
    since, seen_since = now - timedelta(days=KEPT_DAYS), now - timedelta(days=SEEN_DAYS)
    alive = set(living)
    of_set: defaultdict[SetKey, list[VerdictKey]] = defaultdict(list)
    for verdict in verdicts:
        of_set[verdict.set].append(verdict)
    gone: list[VerdictKey] = []
    for key, own in of_set.items():
        if old := [verdict for verdict in own if verdict.at < (seen_since if verdict.check == "source" else since)]:
            needed = _deciding(own).values() if key in alive else ()
            gone += [verdict for verdict in old if verdict not in needed]
    return tuple(gone)


def authentic(repository: Repository, verdicts: Sequence[VerdictKey]) -> tuple[VerdictKey, ...]:
    """The verdicts that count: all where the repository has no digest key, else those it has sealed.

    What is left out was written before the key, or by somebody without it: it neither proves nor spoils a set.
    """
    digest_key = repository.digest_key
    if digest_key is None:
        return tuple(verdicts)
    return tuple(one for one in verdicts if hmac.compare_digest(one.tag, one.tagged(digest_key).tag))


def record_verdict(repository: Repository, key: VerdictKey, document: dict[str, Any]) -> VerdictKey:
    """Write a verdict, once and for all; returns the key it got, sealed with the repository's digest key.

    `document` is what was found, as plain data (evidence, times). Schema, set, check, result, time and the
    product's version are added. A verdict of the same second is never replaced: the time moves on.

    Raises:
        OperationFailed: the store refused, or already has a verdict for each second of the next minute.
    """
    store = repository.store
    for second in range(_TRIES):
        at = key.at.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=second)
        moved = key._replace(at=at).tagged(repository.digest_key)
        data = _to_json(moved, document)
        if store.create(str(moved), data) or read_small(store, str(moved), _LARGEST) == data:
            return moved
    raise OperationFailed(
        f"{key} could not be written to {store.address}: there is a verdict for every second of that minute; "
        "see who writes them, then start again."
    )


def read_verdict(repository: Repository, key: VerdictKey) -> dict[str, Any]:
    """What was found, as it was written.

    Raises:
        OperationFailed: there is none, or it is damaged.
        CouldNotVerify: it was written by a newer version.
    """
    store = repository.store
    try:
        document = json.loads(read_small(store, str(key), _LARGEST))
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or type(document.get("schema")) is not int:
        raise OperationFailed(f"{key} in {store.address} is damaged; verify or drill the set again.")
    if document["schema"] != SCHEMA:
        raise CouldNotVerify(
            f"{key} in {store.address} has schema {document['schema']}; this version reads {SCHEMA}: "
            "use the version that wrote it, or a newer one."
        )
    return document


def _deciding(verdicts: Iterable[VerdictKey]) -> dict[Check, VerdictKey]:
    found: dict[Check, VerdictKey] = {}
    for verdict in verdicts:
        if verdict.result in _DECIDING:
            known = found.get(verdict.check)
            if known is None or _order(verdict) > _order(known):
                found[verdict.check] = verdict
    return found


def _order(verdict: VerdictKey) -> tuple[datetime, bool]:
    return verdict.at, verdict.result == "failed"


def _to_json(key: VerdictKey, document: dict[str, Any]) -> bytes:
    known = {
        "schema": SCHEMA,
        "set": str(key.set),
        "check": key.check,
        "result": key.result,
        "at": key.at.isoformat(),
        "product_version": version("platform-ops"),
    }
    text = json.dumps({**document, **known}, indent=1, ensure_ascii=False, default=str)
    return text.encode(errors="replace") + b"\n"
