"""The report of a restore, whatever is kept: the plan before it, and what it made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from engine.progress import counted, readable_seconds
from engine.run_state import ENDED_WELL, RunState
from engine.words.report import Report, Table
from engine.words.run_report import going_step
from engine.words.wording import readable_time

if TYPE_CHECKING:
    from engine.operations.restore import RestoreRun
    from engine.sources.base import Restored


def plan_report(run: RestoreRun) -> Report:
    """What a restore is going to do."""
    rows = tuple(
        (one.name, one.into, readable_time(one.set.created), one.set.state, str(one.set.key)) for one in run.choices
    )
    where = "in place" if run.in_place else "beside the live ones"
    return Report(
        title=f"Restore to {run.source.name}: the plan",
        sentence=f"{counted(len(run.choices), run.kind.noun)} {where}; each is compared with its proof before it counts.",
        tables=(
            Table(f"{run.kind.noun.capitalize()}s", (run.kind.noun, "becomes", "as it was on", "state", "set"), rows),
        ),
        next_steps=(*_unproven(run), _touched(run)),
    )


def _touched(run: RestoreRun) -> str:
    if not run.live:
        return "Nothing that is live is touched."
    return f"Replaced and kept under another name: {', '.join(run.live)}. What was written there since is only in the kept."


def _unproven(run: RestoreRun) -> Iterator[str]:
    if names := [one.name for one in run.choices if one.set.state in ("recorded", "verified")]:
        yield f"Not proven by a drill: {', '.join(names)}. newest-proven takes the newest set that is."


def restore_report(run: RestoreRun, state: RunState = ENDED_WELL) -> Report:
    """What a restore made, or made so far, and where what was there before is."""
    steps = tuple(remark for one in run.restored for remark in one.remarks)
    return Report(
        title=f"Restore to {run.source.name}",
        sentence=_sentence(run, state),
        tables=(
            Table("Failed", (run.kind.noun, "why"), tuple((name, str(error)) for name, error in run.failures)),
            Table(
                "Restored",
                (run.kind.noun, "is now", "kept as", "holds", "set"),
                tuple(_row(one) for one in run.restored),
            ),
        ),
        next_steps=(going_step(),) if state.going else (*dict.fromkeys(steps), *_kept(run)),
    )


def _row(one: Restored) -> tuple[str, ...]:
    holds = ", ".join(counted(count, noun) for noun, count in one.counts.items())
    return (one.key.name or one.key.source, one.name, one.kept or "-", holds or "-", str(one.key))


def _kept(run: RestoreRun) -> Iterator[str]:
    if kept := [one.kept for one in run.restored if one.kept]:
        yield f"What was there before is kept as {', '.join(kept)}; remove it when you miss nothing."


def _sentence(run: RestoreRun, state: RunState) -> str:
    of = None if state == ENDED_WELL and not run.failures else len(run.choices)
    names = ", ".join(repr(one.name) for one in run.restored[:5])
    message = (
        f"{counted(len(run.restored), run.kind.noun, of)} restored{f' as {names}' if names else ''}, each equal to its proof "
        f"({readable_seconds(run.seconds)})"
    )
    if state.going:
        return f"Going on: {message}."
    if state.problem:
        return f"Failed: {state.problem} {message}."
    return f"{counted(len(run.failures), run.kind.noun)} failed; {message}." if run.failures else f"{message}."
