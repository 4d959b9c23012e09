"""The report of a check: what was last done for a server, and what is overdue."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from engine.progress import readable_seconds
from engine.reports.report import Report, Table
from engine.reports.wording import readable_time

if TYPE_CHECKING:
    from engine.sets.freshness import Freshness, Word

_DONE_BY: dict[Word, str] = {
    "recorded": "nightly-backup (platformctl backup)",
    "verified": "verify-backups (platformctl verify)",
    "proven": "restore-drill (platformctl drill)",
}


def overdue_sentence(found: Sequence[Freshness], now: datetime, max_age_hours: float) -> str:
    """What is overdue, where, and what to do next; empty when nothing is."""
    late: dict[str, list[Freshness]] = {}
    for one in found:
        if not one.fresh:
            late.setdefault(f"{one.server} in {one.store}", []).append(one)
    if not late:
        return ""
    said = "; ".join(
        f"{where} {', '.join(_late(one, now) for one in those)}" for where, those in late.items()
    )
    runs = " and ".join(_DONE_BY[word] for word in dict.fromkeys(one.word for one in found if not one.fresh))
    return f"{said}, where {max_age_hours:g} h are allowed; look at the last runs of {runs}, or start one."


def freshness_report(found: Sequence[Freshness], now: datetime, max_age_hours: float) -> Report:
    """What was last recorded, verified and proven, and what is overdue."""
    overdue = overdue_sentence(found, now, max_age_hours)
    servers = ", ".join(dict.fromkeys(one.server for one in found))
    return Report(
        title=f"Check of {servers}: {'OVERDUE' if overdue else 'all is well'}",
        sentence=overdue or f"Recorded, verified and proven within {max_age_hours:g} h.",
        tables=(
            Table(
                "Last done",
                ("server", "store", "what", "last", "age", "verdict"),
                tuple(_row(one, now) for one in found),
                right=("age",),
            ),
        ),
    )


def _late(one: Freshness, now: datetime) -> str:
    if one.at is None:
        return f"was never {one.word}"
    return f"was last {one.word} {_age(one.at, now)} ago ({readable_time(one.at)})"


def _row(one: Freshness, now: datetime) -> tuple[str, ...]:
    last, age = ("never", "-") if one.at is None else (readable_time(one.at), _age(one.at, now))
    return one.server, one.store, one.word, last, age, "in time" if one.fresh else "OVERDUE"


def _age(at: datetime, now: datetime) -> str:
    return readable_seconds(max(0.0, (now - at).total_seconds()))
