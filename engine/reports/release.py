"""The reports of a change of a platform: its plan, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.progress import counted, readable_seconds
from engine.releases.plan import Action, Plan, ServicePlan
from engine.releases.release import Release
from engine.run_state import ENDED_WELL, RunState
from engine.words.report import Report, Table
from engine.words.run_report import going_step
from engine.words.wording import readable_time

if TYPE_CHECKING:
    from engine.operations.database_rollback import DatabaseRollback
    from engine.operations.release import ReleaseRun

_VERBS = {
    Action.KEEP: "stays as it is",
    Action.CREATE: "is new",
    Action.ROLL: "is replaced without a pause",
    Action.REPLACE: "is stopped and replaced",
    Action.REMOVE: "goes",
}
_SHOWN = 60


def plan_report(plan: Plan) -> Report:
    """What would be done and why, and the hash that approval is bound to."""
    return Report(
        title=f"Plan: {plan.operation} of {plan.platform} ({plan.environment})",
        sentence=plan_sentence(plan),
        facts=(("plan", plan.hash[:12]), *_plan_facts(plan)),
        tables=plan_tables(plan),
        next_steps=plan.remarks,
    )


def plan_sentence(plan: Plan) -> str:
    """The plan in one sentence."""
    if plan.empty:
        return "Nothing differs: nothing will be done."
    rolled, replaced = plan.of(Action.ROLL), plan.of(Action.REPLACE)
    parts = [
        f"{counted(len(names), 'service')} {verb}"
        for names, verb in (
            (plan.of(Action.CREATE), "new"),
            (rolled, "replaced without a pause"),
            (replaced, "stopped and replaced"),
            (plan.of(Action.REMOVE), "removed"),
        )
        if names
    ]
    if plan.nginx:
        parts.append(f"{counted(len(plan.nginx), 'file')} of nginx changed")
    if not parts:
        return "No container changes: only what is known of services and routes (x-rollout, x-routes)."
    return f"{', '.join(parts)[:1].upper()}{', '.join(parts)[1:]}."


def plan_tables(plan: Plan) -> tuple[Table, ...]:
    rows = tuple(row for each in plan.services if each.changes for row in _rows(each))
    staying = [each.service for each in plan.services if not each.changes]
    more = f"{', '.join(staying)} {'stays' if len(staying) == 1 else 'stay'}" if staying else ""
    files = tuple((change.where, change.old or "-", change.new or "-") for change in plan.nginx)
    return (
        Table("Services", ("service", "what happens", "strategy", "from", "to", "why"), rows, more=more),
        Table("Files of nginx", ("file", "from", "to"), files),
        Table("Routes", ("route", "from", "to"), tuple((each.where, each.old, each.new) for each in plan.routes)),
        Table("Migrations", ("service", "kind"), tuple((name, _migration(plan, name)) for name in plan.migrations)),
    )


def release_report(run: ReleaseRun, state: RunState = ENDED_WELL) -> Report:
    """What a deploy, an update or a rollback did, or did so far."""
    plan, release = run.plan, run.release
    return Report(
        title=f"{run.operation.capitalize()} of {run.platform.name}",
        sentence=_sentence(run, state),
        facts=_facts(run, release),
        tables=(
            Table("Steps", ("step", "time", "state"), tuple(step_row(each) for each in run.timings), right=("time",)),
            *(plan_tables(plan) if plan else ()),
            Table("Smoke test", ("route", "answers", "what is wrong"), tuple(_route(each) for each in run.smoke)),
        ),
        next_steps=(going_step(),) if state.going else _next_steps(run, state),
    )


def database_rollback_report(run: DatabaseRollback, state: RunState = ENDED_WELL) -> Report:
    """What a rollback with databases did."""
    images, release = run.images, run.release
    what = f"release {release.id}" if release else "the release"
    message = f"{', '.join(run.restored)} restored as before {what}, and services started in the versions before it."
    if state.problem:
        message = f"Failed: {state.problem}"
    elif state.going:
        message = f"Going on: taking back {what}."
    rows = tuple(step_row(each) for each in images.timings)
    return Report(
        f"Rollback of {run.platform.name} with its databases",
        message,
        facts=(
            ("started by", images.owner),
            ("taken back", release.id if release else "-"),
            ("databases", ", ".join(run.restored) or "none"),
            ("stopped meanwhile", ", ".join(run.stopped) or "nothing"),
            ("runs now", images.release.id if images.release else "-"),
        ),
        tables=(Table("Steps", ("step", "time", "state"), rows, right=("time",)),),
        next_steps=("The replaced databases are kept as <name>_before_<time>; drop them when nobody misses anything.",),
    )


def releases_report(platform: str, releases: Sequence[Release], current: str) -> Report:
    """The releases on a host, newest first."""
    rows = tuple(
        (
            each.id,
            "runs" if each.id == current else each.state,
            readable_time(each.made),
            ", ".join(f"{name} {service.version}" for name, service in each.services.items() if service.version)[
                :_SHOWN
            ],
            each.by,
            each.approved_by or "-",
        )
        for each in reversed(releases)
    )
    sentence = f"{counted(len(rows), 'release')} on the host." if rows else "Nothing was deployed yet."
    table = Table("Releases", ("release", "state", "made", "versions", "by", "approved by"), rows)
    return Report(f"Releases of {platform}", sentence, tables=(table,))


def _rows(plan: ServicePlan) -> list[tuple[str, ...]]:
    verb, first = _VERBS[plan.action], plan.changes[0] if plan.changes else None
    versions = (plan.old_version or "-", plan.new_version or "-")
    rows: list[tuple[str, ...]] = [(plan.service, verb, plan.strategy or "-", *versions, str(first) if first else "")]
    return rows + [("", "", "", "", "", str(change)) for change in plan.changes[1:]]


def _migration(plan: Plan, name: str) -> str:
    return "breaking: images alone cannot go back" if name in plan.breaking else "the version before can live with it"


def _plan_facts(plan: Plan) -> tuple[tuple[str, str], ...]:
    return (
        ("from", plan.before or "nothing"),
        ("to", plan.release),
        ("backup before", plan.backup or "none"),
        ("new volumes", ", ".join(plan.volumes) or "none"),
    )


def _sentence(run: ReleaseRun, state: RunState) -> str:
    plan = run.plan
    if state.going:
        return f"Going on: {run.timings[-1][0]}." if run.timings else "Going on."
    if state.problem:
        return f"Failed: {state.problem}"
    if plan is None:
        return run.recovered or "Nothing was left to finish or revert."
    if plan.empty:
        return "Nothing differed: nothing was changed."
    lost = "" if run.lost is None else f", {counted(run.lost, 'request')} lost as nginx saw it"
    return f"{plan_sentence(plan)[:-1]} in {readable_seconds(run.seconds)}{lost}."


def _facts(run: ReleaseRun, release: Release | None) -> tuple[tuple[str, str], ...]:
    plan = run.plan
    found = [("started by", run.owner), ("begun", readable_time(run.started, seconds=True))]
    if run.recovered:
        found.append(("before it", run.recovered))
    if plan is not None:
        found += [("plan", plan.hash[:12]), *_plan_facts(plan)]
        found.append(("approved by", run.approved_by or "nobody was asked"))
    if release is not None and run.backups:
        found.append(("backup", next((key for key in run.backups if key.count("/") == 2), run.backups[0])))
    if run.pruned:
        found.append(("images removed", ", ".join(run.pruned)))
    return tuple(found)


def step_row(step: tuple[str, float, str]) -> tuple[str, ...]:
    title, seconds, state = step
    return title, readable_seconds(seconds) if state != "under way" else "", state


def _route(found: tuple[str, int, str]) -> tuple[str, ...]:
    path, status, wrong = found
    return path, str(status or "nothing"), wrong


def _next_steps(run: ReleaseRun, state: RunState) -> tuple[str, ...]:
    plan = run.plan
    if state.problem or plan is None:
        return (
            *run.remarks,
            "platformctl status shows what runs; platformctl resume finishes or reverts what was cut off.",
        )
    if plan.empty:
        return ()
    back = "platformctl rollback goes back to the release before (no registry needed)."
    if plan.breaking:
        back = "The migration is breaking: platformctl rollback-db goes back, with the databases."
    return (
        (*run.remarks, back)
        if plan.operation != "rollback"
        else (*run.remarks, "Deploy again when the cause is found.")
    )
