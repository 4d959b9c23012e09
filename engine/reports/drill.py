"""The report of a restore drill: the verdict with its evidence, RTO and RPO, and the drills before it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from engine.errors import PlatformOpsError
from engine.progress import counted, readable_bytes, readable_seconds
from engine.reports.report import Report, Table, foremost
from engine.reports.wording import readable_time

if TYPE_CHECKING:
    from engine.postgres.course import DrillReport
    from engine.sets.keys import VerdictKey
    from engine.sets.target import Target

_SHOWN = 100
_EXTENSIONS = 10
_TITLES = {
    "passed": "passed",
    "sampled": "only a sample was compared",
    "failed": "FAILED",
    "unverified": "could not verify",
}


def past_drills(
    target: Target, verdicts: Iterable[VerdictKey], server: str, set_key: str, count: int = 10
) -> tuple[Mapping[str, Any], ...]:
    """The documents of the newest drills of the same scope (the cluster, or one database), newest first.

    One that cannot be read is passed over: the trend is not evidence.
    """
    from engine.sets.verdicts import read_verdict

    scope = set_key.rpartition("/")[0]
    drills = [one for one in verdicts if one.kind == "drill" and one.server == server]
    found: list[Mapping[str, Any]] = []
    for key in sorted(drills, key=lambda one: one.at, reverse=True)[: 5 * count]:
        try:
            document = read_verdict(target.store, key)
        except PlatformOpsError:
            continue
        if str(document.get("set_key")).rpartition("/")[0] == scope:
            found.append(document)
        if len(found) == count:
            break
    return tuple(found)


def seen_missing(target: Target, verdicts: Iterable[VerdictKey]) -> tuple[str, ...]:
    """What the newest drill of a set, whose verdicts these are, found missing in it; () where that cannot be read."""
    from engine.sets.verdicts import newest, read_verdict

    key = newest((one for one in verdicts if one.result in ("passed", "incomplete", "sampled")), "drill")
    try:
        found = read_verdict(target.store, key).get("missing") if key else ()
    except PlatformOpsError:
        return ()
    return tuple(str(what) for what in found) if isinstance(found, list) else ()


def drill_report(report: DrillReport, trend: Sequence[Mapping[str, Any]] = ()) -> Report:
    """What a drill showed. `trend` are the verdict documents of past drills, newest first."""
    return Report(
        title=f"Restore drill of {report.set_key}: {_TITLES[report.result]}",
        sentence=_ended(report.sentence),
        facts=_facts(report),
        tables=(
            _databases(report),
            _differences(report),
            Table("Not in the set", ("what",), tuple((what,) for what in report.missing[:_SHOWN])),
            _trend(trend),
        ),
        next_steps=_next_steps(report),
    )


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "...")) else f"{sentence}."


def _facts(report: DrillReport) -> tuple[tuple[str, str], ...]:
    rto = "not reached" if report.rto_seconds is None else readable_seconds(report.rto_seconds)
    return (
        ("verdict", _verdict(report)),
        ("RTO (from nothing to the last database restored)", rto),
        ("RPO (age of the set: what would be lost today)", readable_seconds(report.rpo_seconds)),
        ("stored size", readable_bytes(report.stored_bytes)),
        ("PostgreSQL of the source", report.server_version or "not known"),
        ("restored into", report.scratch or "nothing: it did not come so far"),
        ("roles compared", f"{report.roles:,}"),
        ("begun", readable_time(report.started)),
        ("took", readable_seconds(report.seconds)),
        *_not_compared(report.not_compared),
    )


def _not_compared(extensions: Sequence[str]) -> Iterator[tuple[str, str]]:
    if extensions:
        left = len(extensions) - _EXTENSIONS
        more = f" and {left} more" if left > 0 else ""
        yield "members of extensions not compared", "; ".join(extensions[:_EXTENSIONS]) + more


def _verdict(report: DrillReport) -> str:
    if report.sample_percent < 100:
        return f"{report.result} (of the rows, {report.sample_percent} % were compared)"
    return "passed, but the set does not hold everything" if report.verdict == "incomplete" else report.result


def _databases(report: DrillReport) -> Table:
    shown = foremost(
        report.databases,
        lambda row: row.differences,
        lambda row: row.restore_seconds + row.compare_seconds,
        lambda row: row.rows,
    )
    left = len(report.databases) - len(shown)
    return Table(
        "Compared with the proofs",
        (
            "database",
            "verdict",
            "tables",
            "rows",
            "sequences",
            "large objects",
            "restore",
            "compare",
        ),
        tuple(
            (
                row.database,
                counted(row.differences, "difference") if row.differences else "equal",
                f"{row.tables:,}",
                f"{row.rows:,}",
                f"{row.sequences:,}",
                f"{row.large_objects:,}",
                readable_seconds(row.restore_seconds),
                readable_seconds(row.compare_seconds),
            )
            for row in shown
        ),
        right=("tables", "rows", "sequences", "large objects", "restore", "compare"),
        more=f"and {counted(left, 'more database')}; those that differ most, took longest or are largest are shown"
        if left
        else "",
    )


def _differences(report: DrillReport) -> Table:
    shown = report.differences[:_SHOWN]
    more = f", the first {_SHOWN}" if len(report.differences) > _SHOWN else ""
    return Table(
        f"Differences{more}",
        ("database", "kind", "name", "backed up", "restored"),
        tuple((one.database or "(server)", one.kind, one.name, one.expected, one.found) for one in shown),
    )


def _trend(trend: Sequence[Mapping[str, Any]]) -> Table:
    return Table(
        "Drills before this one",
        ("begun", "verdict", "RTO", "RPO", "rows"),
        tuple(_past(document) for document in trend),
        right=("RTO", "RPO", "rows"),
    )


def _past(document: Mapping[str, Any]) -> tuple[str, ...]:
    """One line of the trend. A verdict is read from a store: nothing in it is taken for granted."""
    rows = [row.get("rows") for row in document.get("databases") or () if isinstance(row, Mapping)]
    return (
        _time(document.get("started")),
        {"incomplete": "passed (incomplete)"}.get(result := str(document.get("result", "")), result),
        _seconds(document.get("rto_seconds")),
        _seconds(document.get("rpo_seconds")),
        f"{sum(count for count in rows if isinstance(count, int)):,}",
    )


def _seconds(value: object) -> str:
    return readable_seconds(value) if isinstance(value, (int, float)) else "-"


def _time(value: object) -> str:
    try:
        return readable_time(datetime.fromisoformat(str(value)))
    except (ValueError, OverflowError):
        return "-"


def _next_steps(report: DrillReport) -> tuple[str, ...]:
    if report.result == "passed":
        compared = counted(len(report.databases), "database")
        said = f"The set is proven: {compared} restored and compared with the proof taken at the backup."
        lacks = "Proven is what is in the set; what is listed as not in it has to come from somewhere else."
        return (said, lacks) if report.missing else (said,)
    if report.result == "sampled":
        return (
            "The set restores, but it is not proven: rows outside the sample may have changed. With "
            "proof_sample_percent = 100 the next backup's proof covers every row.",
        )
    if report.result == "failed":
        return (
            "Do not rely on this set. Take a new backup, and drill it; the set before may still be good.",
            "Keep this set until the differences are understood.",
        )
    return ("Nothing was shown, neither good nor bad. Do what the sentence above says, and drill again.",)
