"""The report of a check: what was last done for a source, and what is overdue."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from engine.progress import readable_seconds
from engine.sources.registry import type_of_kind
from engine.words.report import Report, Table
from engine.words.wording import readable_time

if TYPE_CHECKING:
    from engine.repository.freshness import Freshness, Word

_DONE_BY: dict[Word, str] = {
    "recorded": "{backup} (platformctl backup)",
    "verified": "verify-backups (platformctl verify)",
    "proven": "restore-drill (platformctl drill)",
}


def overdue_sentence(found: Sequence[Freshness], now: datetime, forgotten: Sequence[str] = ()) -> str:
    """What is overdue, where, and what to do next, and what is not kept at all; empty when nothing is."""
    return " ".join(filter(None, (_overdue(found, now), *forgotten)))


def _overdue(found: Sequence[Freshness], now: datetime) -> str:
    late: dict[str, list[Freshness]] = {}
    for one in found:
        if not one.fresh:
            late.setdefault(f"{one.asset.label} of {one.asset.source} in {one.store}", []).append(one)
    if not late:
        return ""
    message = "; ".join(
        f"{where} {', '.join(_late(one, now) for one in those)}{_allowed(those)}" for where, those in late.items()
    )
    runs = " and ".join(dict.fromkeys(_done_by(one) for one in found if not one.fresh))
    return f"{message[:1].upper()}{message[1:]}; look at the last runs of {runs}, or start one."


def _allowed(late: Sequence[Freshness]) -> str:
    hours = next((one.max_hours for one in late if not one.failed), None)
    return "" if hours is None else f", where {hours:g} h are allowed"


def _done_by(one: Freshness) -> str:
    return _DONE_BY[one.word].format(backup=type_of_kind(one.asset.kind).flow)


def freshness_report(found: Sequence[Freshness], now: datetime, forgotten: Sequence[str] = ()) -> Report:
    """What was last recorded, verified and proven, what is overdue, and what is there that nobody keeps."""
    overdue = overdue_sentence(found, now, forgotten)
    sources = ", ".join(dict.fromkeys(one.asset.source for one in found))
    hours = max((one.max_hours for one in found), default=0)
    return Report(
        title=f"Check of {sources}: {_outcome(found, forgotten)}",
        sentence=overdue or f"Recorded, verified and proven within {hours:g} h.",
        tables=(
            Table(
                "Last done",
                ("source", "what", "store", "was", "last", "age", "verdict"),
                tuple(_row(one, now) for one in found),
                right=("age",),
            ),
        ),
    )


def _outcome(found: Sequence[Freshness], forgotten: Sequence[str]) -> str:
    if any(one.failed for one in found):
        return "FAILED"
    if forgotten and all(one.fresh for one in found):
        return "NOT ALL IS KEPT"
    return "all is well" if all(one.fresh for one in found) else "OVERDUE"


def _late(one: Freshness, now: datetime) -> str:
    if one.failed:
        return f"failed with its newest set {one.failed.set_id} (`show` says why)"
    if one.at is None:
        return f"was never {one.word}"
    return f"was last {one.word} {_age(one.at, now)} ago ({readable_time(one.at)})"


def _row(one: Freshness, now: datetime) -> tuple[str, ...]:
    last, age = ("never", "-") if one.at is None else (readable_time(one.at), _age(one.at, now))
    verdict = "in time" if one.fresh else "FAILED" if one.failed else "OVERDUE"
    return one.asset.source, one.asset.label, one.store, one.word, last, age, verdict


def _age(at: datetime, now: datetime) -> str:
    return readable_seconds(max(0.0, (now - at).total_seconds()))
