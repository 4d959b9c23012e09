"""What a report says of a run that has not ended, or failed."""

from __future__ import annotations

from datetime import UTC, datetime

from engine.run_state import RunState
from engine.words.report import Report
from engine.words.wording import readable_time


def going_step() -> str:
    """What to make of a report that was written on the way."""
    return (
        f"Written at {readable_time(datetime.now(UTC), seconds=True)}, as the run goes on. Where the run has ended and this "
        "still stands here, it was killed: this is how far it came. Start it again; it clears away what was left."
    )


def plain_report(title: str, started: datetime, state: RunState) -> Report:
    """The report of a run that has nothing else to tell."""
    since = readable_time(started, seconds=True)
    if state.going:
        return Report(title, f"Going on since {since}.", next_steps=(going_step(),))
    if state.problem:
        return Report(title, f"Failed: {state.problem}", facts=(("started", since),))
    return Report(title, "Done.", facts=(("started", since),))
