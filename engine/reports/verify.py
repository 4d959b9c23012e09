"""The report of a verification: which stored bytes were read again, and what was not as the manifest says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.progress import counted, readable_bytes, readable_seconds
from engine.words.report import Report, Table

if TYPE_CHECKING:
    from engine.repository.verify import VerifyRun
    from engine.repository.verify_set import VerifyResult

_SHOWN = 200
_TITLES = {"passed": "all equal", "failed": "FAILED", "unverified": "could not verify"}


def verify_report(run: VerifyRun) -> Report:
    """What a verification of one or several sets showed."""
    return Report(
        title=f"Verification: {_TITLES[run.result]}",
        sentence=verify_sentence(run),
        tables=(_sets(run), _findings(run)),
        next_steps=_next_steps(run),
    )


def verify_sentence(run: VerifyRun) -> str:
    """The outcome in words; of several sets that did not pass, the worst and newest one's."""
    if not run.reports:
        return (
            f"Nothing was verified: there is no set in {' or '.join(run.where) or 'the store'}; look at whether this is "
            "the right store, or make a backup."
        )
    bad = [one for one in run.reports if one.result == "failed"] or [
        one for one in run.reports if one.result == "unverified"
    ]
    if not bad:
        many = len(run.reports) > 1
        sets = f"{counted(len(run.reports), 'set')} {'are' if many else 'is'} equal to {'their manifests' if many else 'its manifest'}"
        return f"{sets}; {readable_bytes(run.read)} read again."
    first, *others = bad
    if not others:
        return first.sentence
    named = ", ".join(str(one.key) for one in others[:5]) + (", ..." if len(others) > 5 else "")
    return f"{first.sentence} ({counted(len(others), 'more set')} like it: {named}.)"


def _sets(run: VerifyRun) -> Table:
    return Table(
        "Sets",
        ("source", "what", "set", "verdict", "files", "read", "time"),
        tuple(_row(one) for one in sorted(run.reports, key=lambda one: one.result == "passed")),
        right=("files", "read", "time"),
    )


def _row(one: VerifyResult) -> tuple[str, ...]:
    whose = one.key.source, one.key.asset.label, one.key.set_id
    return *whose, one.result, f"{len(one.checks):,}", readable_bytes(one.read), readable_seconds(one.seconds)


def _findings(run: VerifyRun) -> Table:
    rows = [
        (one.key.set_id, check.name, check.finding, check.detail)
        for one in run.reports
        for check in one.checks
        if not check.is_well
    ]
    return Table("Not equal at each reading", ("set", "file", "finding", "detail"), tuple(rows[:_SHOWN]))


def _next_steps(run: VerifyRun) -> tuple[str, ...]:
    steps = []
    if run.result == "failed":
        steps.append("Do not rely on a set that failed: take a new backup, and find out what changed the store.")
    if run.result == "unverified":
        steps.append("Neither good nor bad was shown: do what the sentence says, and verify again.")
    if any(check.unsteady for one in run.reports for check in one.checks):
        steps.append(
            "A store changed its answers, as the table says: look at its disks and memory, and the network to it."
        )
    if run.left:
        steps.append(f"{counted(run.left, 'set')} did not fit into the budget; the next verification begins there.")
    return tuple(steps)
