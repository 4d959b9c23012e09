"""What the commands that change a platform have in common."""

from __future__ import annotations

from collections.abc import Mapping

from engine.cli.approval import approved, owner
from engine.cli.interruption import Interrupted
from engine.cli.invocation import Invocation
from engine.cli.outcome import Outcome, problem_of
from engine.errors import PartialSuccess, PlatformOpsError
from engine.hosts.ending import is_ending
from engine.operations.after_deploy import back_up_after_deploy
from engine.operations.release import ReleaseRun
from engine.releases.plan import Plan
from engine.reports.release import plan_report, release_report
from engine.run_state import RunState
from engine.sources import registry
from engine.steps import InShell


def release_run(
    invocation: Invocation,
    platform: str | None,
    operation: str,
    versions: Mapping[str, str] | None = None,
    approve: str | None = None,
    command: str = "",
) -> ReleaseRun:
    """A change of a platform that a shell asks for; nothing is done yet."""
    run = ReleaseRun(
        invocation.platform(platform),
        operation,
        owner(command or operation),
        lambda plan: _approved(run, plan, approve),
        invocation.repository,
        lambda name: registry.open_source(invocation.settings, name),
        versions or {},
    )
    return run


def carry_out(
    invocation: Invocation,
    platform: str | None,
    operation: str,
    versions: Mapping[str, str],
    approve: str | None = None,
) -> Outcome:
    """One change of a platform, from the lock to the report."""
    run = release_run(invocation, platform, operation, versions, approve)
    problem: PlatformOpsError | None = None
    try:
        run.carry_out(InShell(invocation.progress))
    except PlatformOpsError as error:
        if run.plan is None and not run.recovered:
            raise
        problem = error
    if run.accepted and not is_ending():
        _follow(invocation, run)
    return outcome(run, operation, problem)


def _follow(invocation: Invocation, run: ReleaseRun) -> None:
    """Store what asks for it after a deploy; what came of it is remarked. Whoever ends it by Ctrl-C ends no deploy."""
    try:
        run.remarks += back_up_after_deploy(
            run.platform.name,
            invocation.settings.sources,
            lambda name: registry.open_source(invocation.settings, name),
            invocation.repository,
            run.owner,
            InShell(invocation.progress),
        )
    except Interrupted:
        run.remarks.append("The release runs; storing its images was ended, and the next image-archive makes it up.")


def outcome(run: ReleaseRun, command: str, problem: PlatformOpsError | None = None) -> Outcome:
    """What a change came to, for people and for programs."""
    runs = isinstance(problem, PartialSuccess)
    if runs:
        run.remarks.append(str(problem))
    state = RunState(problem=str(problem) if problem and not runs else "")
    return Outcome(
        command,
        {
            "platform": run.platform.name,
            "release": run.release.id if run.release else None,
            "plan": run.plan.model_dump(mode="json") | {"hash": run.plan.hash} if run.plan else None,
            "changed": bool(run.plan and not run.plan.empty and (runs or not problem)),
            "recovered": run.recovered or None,
            "approved_by": run.approved_by or None,
            "backups": list(run.backups),
            "steps": [{"step": title, "seconds": round(took, 3), "state": how} for title, took, how in run.timings],
            "routes": [{"route": path, "status": status, "wrong": wrong or None} for path, status, wrong in run.smoke],
            "lost_requests": run.lost,
            "seconds": round(run.seconds, 3),
        },
        release_report(run, state),
        problem=problem_of(problem) if problem else None,
    )


def _approved(run: ReleaseRun, plan: Plan, given: str | None) -> str:
    """Ask whoever sits there, where the platform needs approval; the answer is bound to the plan's hash.

    Raises:
        PlatformOpsError: it was not approved.
    """
    if not run.platform.settings.needs_approval:
        return ""
    return approved(plan.hash, plan_report(plan), plan.environment, given)
