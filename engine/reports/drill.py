"""The report of a restore drill: the verdict with its evidence, RTO and RPO, and the drills before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from engine.progress import counted, readable_bytes, readable_seconds
from engine.words.report import Report, Table, foremost
from engine.words.wording import readable_time

if TYPE_CHECKING:
    from engine.repository.findings import Compared, DrillResult

_SHOWN = 100
_TITLES = {
    "passed": "passed",
    "sampled": "only a sample was compared",
    "failed": "FAILED",
    "unverified": "could not verify",
}


def drill_report(result: DrillResult, trend: Sequence[Mapping[str, Any]] = ()) -> Report:
    """What a drill showed. `trend` are the verdict documents of past drills, newest first."""
    return Report(
        title=f"Restore drill of {result.set_key}: {_TITLES[result.result]}",
        sentence=_ended(result.sentence),
        facts=_facts(result),
        tables=(
            _compared(result),
            _differences(result),
            Table("Not in the set", ("what",), tuple((what,) for what in result.missing[:_SHOWN])),
            _trend(result, trend),
        ),
        next_steps=_next_steps(result),
    )


def drills_report(results: Sequence[DrillResult]) -> Report:
    """What the drills of several things of a source showed: the evidence of those that did not pass is in full."""
    passed = [one for one in results if one.result == "passed"]
    bad = [drill_report(one) for one in results if one.result != "passed"]
    rows = tuple(
        (
            one.set_key,
            _TITLES[one.result],
            "-" if one.rto_seconds is None else readable_seconds(one.rto_seconds),
            one.sentence,
        )
        for one in results
    )
    return Report(
        title=f"Restore drills: {'passed' if not bad else 'not all passed'}",
        sentence=f"{counted(len(passed), 'set', len(results) if bad else None)} restored and equal.",
        tables=(
            Table("Drilled", ("set", "verdict", "RTO", "what it showed"), rows),
            *(t for one in bad for t in one.tables),
        ),
        next_steps=tuple(step for one in bad for step in one.next_steps),
    )


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "...")) else f"{sentence}."


def _facts(result: DrillResult) -> tuple[tuple[str, str], ...]:
    rto = "not reached" if result.rto_seconds is None else readable_seconds(result.rto_seconds)
    return (
        ("verdict", _verdict(result)),
        ("RTO (from nothing to all of it restored)", rto),
        ("RPO (age of the set: what would be lost today)", readable_seconds(result.rpo_seconds)),
        ("stored size", readable_bytes(result.stored_bytes)),
        *result.remarks.items(),
        ("begun", readable_time(result.started)),
        ("took", readable_seconds(result.seconds)),
    )


def _verdict(result: DrillResult) -> str:
    if result.sample_percent < 100:
        return f"{result.result} (of the rows, {result.sample_percent} % were compared)"
    return "passed, but the set does not hold everything" if result.verdict == "incomplete" else result.result


def _compared(result: DrillResult) -> Table:
    shown = foremost(
        result.compared,
        lambda row: row.differences,
        lambda row: row.restore_seconds + row.compare_seconds,
        lambda row: sum(row.counts.values()),
    )
    left = len(result.compared) - len(shown)
    columns = tuple(dict.fromkeys(noun for row in shown for noun in row.counts))
    counts = tuple(f"{noun}s" for noun in columns)
    return Table(
        "Compared with the proofs",
        ("what", "verdict", *counts, "restore", "compare"),
        tuple(_row(row, columns) for row in shown),
        right=(*counts, "restore", "compare"),
        more=f"and {left:,} more; those that differ most, took longest or are largest are shown" if left else "",
    )


def _row(row: Compared, columns: Sequence[str]) -> tuple[str, ...]:
    return (
        row.name,
        counted(row.differences, "difference") if row.differences else "equal",
        *(f"{row.counts[noun]:,}" if noun in row.counts else "-" for noun in columns),
        readable_seconds(row.restore_seconds),
        readable_seconds(row.compare_seconds),
    )


def _differences(result: DrillResult) -> Table:
    shown = result.differences[:_SHOWN]
    more = f", the first {_SHOWN}" if len(result.differences) > _SHOWN else ""
    return Table(
        f"Differences{more}",
        ("where", "kind", "name", "backed up", "restored"),
        tuple((one.where or "(the source)", one.kind, one.name, one.expected, one.found) for one in shown),
    )


def _trend(result: DrillResult, trend: Sequence[Mapping[str, Any]]) -> Table:
    totals: Counter[str] = Counter()
    for row in result.compared:
        totals.update(row.counts)
    most = [noun for noun, _ in totals.most_common(1)]  # what tells best how it grows
    columns = ("RTO", "RPO", "compared", *(f"{noun}s" for noun in most))
    return Table(
        "Drills before this one",
        ("begun", "verdict", *columns),
        tuple(_past(document, most) for document in trend),
        right=columns,
    )


def _past(document: Mapping[str, Any], nouns: Sequence[str]) -> tuple[str, ...]:
    """One line of the trend. A verdict is read from a store: nothing in it is taken for granted."""
    found = document.get("compared")
    compared = found if isinstance(found, list) else []
    result = str(document.get("result", ""))
    return (
        _time(document.get("started")),
        {"incomplete": "passed (incomplete)"}.get(result, result),
        _seconds(document.get("rto_seconds")),
        _seconds(document.get("rpo_seconds")),
        f"{len(compared):,}",
        *(f"{sum(_count(row, noun) for row in compared):,}" for noun in nouns),
    )


def _count(row: object, noun: str) -> int:
    counts = row.get("counts") if isinstance(row, Mapping) else None
    count = counts.get(noun) if isinstance(counts, Mapping) else None
    return count if isinstance(count, int) else 0


def _seconds(value: object) -> str:
    return readable_seconds(value) if isinstance(value, (int, float)) else "-"


def _time(value: object) -> str:
    try:
        return readable_time(datetime.fromisoformat(str(value)))
    except (ValueError, OverflowError):
        return "-"


def _next_steps(result: DrillResult) -> tuple[str, ...]:
    if result.result == "passed":
        message = "The set is proven: it was restored and compared with the proof taken at the backup."
        lacks = "Proven is what is in the set; what is listed as not in it has to come from somewhere else."
        return (message, lacks) if result.missing else (message,)
    if result.result == "sampled":
        return (
            "The set restores, but it is not proven: what is outside the sample may have changed. With "
            "proof_sample_percent = 100 the next backup's proof covers all of it.",
        )
    if result.result == "failed":
        return (
            "Do not rely on this set. Take a new backup, and drill it; the set before may still be good.",
            "Keep this set until the differences are understood.",
        )
    return ("Nothing was shown, neither good nor bad. Do what the sentence above says, and drill again.",)
