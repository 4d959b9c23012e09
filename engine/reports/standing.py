"""How far a run is when its report is written: a record in Prefect is made while the run goes on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from engine.reports.report import Report
from engine.reports.wording import readable_time


@dataclass(frozen=True, slots=True)
class Standing:
    """`going`: it has not ended yet. `problem`: why it failed, in one sentence; empty: it did not."""

    going: bool = False
    problem: str = ""


DONE = Standing()


def going_step() -> str:
    """What to make of a report that was written on the way."""
    return (
        f"Written at {readable_time(datetime.now(UTC), seconds=True)}, as the run goes on. Where the run has ended and this "
        "still stands here, it was killed: this is how far it came. Start it again; it clears away what was left."
    )


def plain_report(title: str, started: datetime, standing: Standing) -> Report:
    """The report of a run that has nothing else to tell."""
    since = readable_time(started, seconds=True)
    if standing.going:
        return Report(title, f"Going on since {since}.", next_steps=(going_step(),))
    if standing.problem:
        return Report(title, f"Failed: {standing.problem}", facts=(("started", since),))
    return Report(title, "Done.", facts=(("started", since),))
