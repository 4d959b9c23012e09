"""A person approves a plan in the UI: the form of a paused run, bound to the plan's hash."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from prefect import get_run_logger, pause_flow_run
from prefect.exceptions import FlowPauseTimeout
from prefect.input import RunInput
from pydantic import Field

from engine.errors import OperationFailed
from engine.words.report import Report
from engine.words.wording import escaped
from tasks.artifacts import Record

_POLL_SECONDS = 5
_SHOWN, _NAMED = 12, ("from", "to")


class Approval(RunInput):
    """What the form of a paused deploy asks. Submitted as it comes, it rejects."""

    decision: Literal["reject", "approve"] = Field(default="reject", title="Decision")
    approved_by: str = Field(default="", title="Your name", description="It goes into the record of the release.")


def approved(record: Record, plan: Report, digest: str, minutes: float) -> str:
    """Show the plan in the UI and wait for a person; who approved it.

    Raises:
        OperationFailed: it was rejected, or nobody answered in time.
    """
    get_run_logger().info("The plan %s waits for approval, for %g minutes", digest[:_SHOWN], minutes)
    record.show(_waiting(plan, minutes))
    form = Approval.with_initial_data(description=f"# Plan {digest[:_SHOWN]}\n\n{_question(plan)}")
    try:
        answer = pause_flow_run(
            wait_for_input=form, timeout=int(minutes * 60), poll_interval=_POLL_SECONDS, key=digest[:_SHOWN]
        )
    except FlowPauseTimeout:
        raise OperationFailed(f"Nobody approved the plan within {minutes:g} minutes; nothing was changed.") from None
    who = answer.approved_by.strip()[:100]
    if answer.decision != "approve":
        raise OperationFailed(f"The plan was rejected{f' by {who}' if who else ''}; nothing was changed.")
    return who or "somebody who gave no name"


def _question(plan: Report) -> str:
    """The plan as lines: the form is narrow, and cuts what is wide in a table off."""
    blocks = [
        f"**{escaped(plan.sentence)}**",
        "\n".join(f"- {escaped(name)}: {escaped(value)}" for name, value in plan.facts),
    ]
    for table in plan.tables:
        if table.rows:
            blocks += [f"**{escaped(table.title)}**", _lines(table.rows, table.header), escaped(table.more)]
    return "\n\n".join(block for block in (*blocks, _lines([(each,) for each in plan.next_steps], ("",))) if block)


def _lines(rows: Sequence[Sequence[str]], header: Sequence[str]) -> str:
    lines, first = [], ""
    for row in rows:
        first = row[0] or first
        cells = [(name, cell) for name, cell in zip(header, (first, *row[1:]), strict=True) if cell]
        lines.append(", ".join(escaped(f"{name} {cell}" if name in _NAMED else cell) for name, cell in cells))
    return "\n".join(f"- {each}" for each in lines)


def _waiting(plan: Report, minutes: float) -> Report:
    steps = (f"It waits for approval, for {minutes:g} minutes: open the run and press Resume.", *plan.next_steps)
    return Report(plan.title, f"Waits for approval: {plan.sentence}", plan.facts, plan.tables, steps)
