"""Verdicts: immutable files that say what a verification or a drill found, and what follows for a set.

**The state of a set**, from the keys of its verdicts alone:

1. `passed`, `incomplete` and `failed` decide. `incomplete` is a drill's pass of a set that does not hold
   everything, by its manifest or by what the drill saw: it proves what is there, and whoever calls the set
   proven says that too (`remarks`). `unverified` (nothing could be shown) and `sampled` (nothing differs,
   but only some rows were compared) neither make nor unmake a state.
2. Of each kind (verify, drill) the newest deciding verdict counts; in the same second `failed` wins.
3. *failed* when one of the two failed. A kind is healed only by a newer pass of the same kind: bytes that
   differ stay suspect whatever a drill says, and a set that does not restore is not saved by equal bytes.
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
from engine.sets.keys import VerdictKey, VerdictKind, VerdictResult
from engine.stores.base import Store

State = Literal["recorded", "verified", "proven", "failed"]
GOOD: tuple[State, ...] = ("verified", "proven")

SCHEMA = 1
KEPT_DAYS = 90
PASSED: tuple[VerdictResult, ...] = ("passed", "incomplete")
_DECIDING = (*PASSED, "failed")
_LARGEST = 16 * 2**20
_TRIES = 60


def state_of(verdicts: Iterable[VerdictKey]) -> State:
    """The state of the one set whose verdicts these are; see the module's rule."""
    deciding = _deciding(verdicts)
    if "failed" in [verdict.result for verdict in deciding.values()]:
        return "failed"
    if "drill" in deciding:
        return "proven"
    return "verified" if "verify" in deciding else "recorded"


def remarks(verdicts: Iterable[VerdictKey]) -> dict[tuple[str, str], str]:
    """What a state alone does not say of the sets that drills passed, by server and id.

    `incomplete`: something is not in the set. `sampled`: its newest drill compared a sample of the rows.
    """
    last: dict[tuple[str, str], VerdictKey] = {}
    for verdict in verdicts:
        place = (verdict.server, verdict.set_id)
        if verdict.kind == "drill" and verdict.result != "unverified":
            known = last.get(place)
            if known is None or _order(verdict) > _order(known):
                last[place] = verdict
    return {place: one.result for place, one in last.items() if one.result in ("incomplete", "sampled")}


def newest(verdicts: Iterable[VerdictKey], kind: VerdictKind) -> VerdictKey | None:
    """The newest verdict of a kind, whatever its result."""
    return max((verdict for verdict in verdicts if verdict.kind == kind), key=_order, default=None)


def expired(verdicts: Collection[VerdictKey], living: Iterable[str], now: datetime) -> tuple[VerdictKey, ...]:
    """Verdicts that may go. `living` are the ids of the sets that still exist.

    Each verdict is kept for 90 days, so that the trend of past drills outlives the sets; longer only
    while it decides the state of a set that exists.
    """
    since = now - timedelta(days=KEPT_DAYS)
    alive = set(living)
    of_set: defaultdict[str, list[VerdictKey]] = defaultdict(list)
    for verdict in verdicts:
        of_set[verdict.set_id].append(verdict)
    gone: list[VerdictKey] = []
    for set_id, own in of_set.items():
        if old := [verdict for verdict in own if verdict.at < since]:
            needed = _deciding(own).values() if set_id in alive else ()
            gone += [verdict for verdict in old if verdict not in needed]
    return tuple(gone)


def authentic(verdicts: Sequence[VerdictKey], digest_key: str | None) -> tuple[VerdictKey, ...]:
    """The verdicts that count: all where there is no digest key, else those it has sealed.

    What is left out was written before the key, or by somebody without it: it neither proves nor spoils a set.
    """
    if digest_key is None:
        return tuple(verdicts)
    return tuple(one for one in verdicts if hmac.compare_digest(one.tag, one.sealed(digest_key).tag))


def record_verdict(
    store: Store, key: VerdictKey, document: dict[str, Any], digest_key: str | None = None
) -> VerdictKey:
    """Write a verdict, once and for all; returns the key it got, sealed with the store's digest key.

    `document` is what was found, as plain data (evidence, times). Schema, kind, result, time and the
    product's version are added. A verdict of the same second is never replaced: the time moves on.

    Raises:
        OperationFailed: the store refused, or already has a verdict for each second of the next minute.
    """
    for second in range(_TRIES):
        at = key.at.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=second)
        moved = key._replace(at=at).sealed(digest_key)
        data = _to_json(moved, document)
        if store.create(str(moved), data) or _read(store, moved) == data:
            return moved
    raise OperationFailed(
        f"{key} could not be written to {store.address}: there is a verdict for every second of that minute; "
        "see who writes them, then start again."
    )


def read_verdict(store: Store, key: VerdictKey) -> dict[str, Any]:
    """What was found, as it was written.

    Raises:
        OperationFailed: there is none, or it is damaged.
        CouldNotVerify: it was written by a newer version.
    """
    try:
        document = json.loads(_read(store, key))
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


def _deciding(verdicts: Iterable[VerdictKey]) -> dict[VerdictKind, VerdictKey]:
    found: dict[VerdictKind, VerdictKey] = {}
    for verdict in verdicts:
        if verdict.result in _DECIDING:
            known = found.get(verdict.kind)
            if known is None or _order(verdict) > _order(known):
                found[verdict.kind] = verdict
    return found


def _order(verdict: VerdictKey) -> tuple[datetime, bool]:
    return verdict.at, verdict.result == "failed"


def _to_json(key: VerdictKey, document: dict[str, Any]) -> bytes:
    known = {
        "schema": SCHEMA,
        "server": key.server,
        "set_id": key.set_id,
        "kind": key.kind,
        "result": key.result,
        "at": key.at.isoformat(),
        "product_version": version("platform-ops"),
    }
    text = json.dumps({**document, **known}, indent=1, ensure_ascii=False, default=str)
    return text.encode(errors="replace") + b"\n"


def _read(store: Store, key: VerdictKey) -> bytes:
    data = bytearray()
    with store.reader(str(key)) as source:
        while len(data) <= _LARGEST and (chunk := source.read(2**20)):
            data += chunk
    return bytes(data)
