"""The reports of a change of an application in a cluster: its plan, and what came of it; its history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from engine.kubernetes.plan import ClusterPlan, ObjectPlan
from engine.kubernetes.records import Release
from engine.progress import counted, readable_seconds
from engine.reports.release import step_row
from engine.run_state import ENDED_WELL, RunState
from engine.words.report import Report, Table
from engine.words.run_report import going_step
from engine.words.wording import readable_time

if TYPE_CHECKING:
    from engine.operations.cluster_release import ClusterRun

_VERBS = {"create": "is new", "change": "changes"}
_ROWS = 200


def cluster_plan_report(plan: ClusterPlan) -> Report:
    """What would be done and why, and the hash that approval is bound to."""
    return Report(
        title=f"Plan: {plan.operation} of {plan.deployment} to {plan.cluster} ({plan.environment})",
        sentence=cluster_plan_sentence(plan),
        facts=(("plan", plan.hash[:12]), *_plan_facts(plan)),
        tables=cluster_plan_tables(plan),
        next_steps=plan.remarks,
    )


def cluster_plan_sentence(plan: ClusterPlan) -> str:
    """The plan in one sentence."""
    if plan.empty:
        return "Nothing differs: nothing will be done."
    parts = [f"{counted(len(plan.migrations), 'migration')} to run"] if plan.migrations else []
    for action, verb in (("create", "new"), ("change", "changed")):
        count = sum(each.action == action for each in plan.changing)
        parts += [f"{counted(count, 'object')} {verb}"] if count else []
    if plan.to_revision:
        parts.append(f"back to revision {plan.to_revision}")
    message = ", ".join(parts)
    return f"{message[:1].upper()}{message[1:]}; {_images(plan)}."


def _images(plan: ClusterPlan) -> str:
    before, after = _versions(plan.images_before), _versions(plan.images)
    return f"{after} stays" if before == after else f"{before or 'nothing'} -> {after}"


def _versions(images: Mapping[str, str]) -> str:
    return ", ".join(image.rpartition("/")[2] for image in images.values())


def cluster_plan_tables(plan: ClusterPlan) -> tuple[Table, ...]:
    rows = tuple(row for each in plan.changing for row in _rows(each))
    staying = sum(each.action == "keep" for each in plan.objects)
    more = f"{counted(staying, 'object')} stay{'s' if staying == 1 else ''} as they are" if staying else ""
    if len(rows) > _ROWS:
        more = f"and {len(rows) - _ROWS} more values; {more}"
    return (
        Table("Migrations", ("file", "SHA-256"), tuple((name, sha[:12]) for name, sha in plan.migrations.items())),
        Table("Objects", ("object", "what happens", "value", "from", "to"), rows[:_ROWS], more=more),
    )


def _rows(plan: ObjectPlan) -> list[tuple[str, ...]]:
    title, verb = f"{plan.kind} {plan.name}", _VERBS[plan.action]
    if plan.action == "create":  # all of it is new: nobody would read it
        return [(title, verb, "", "-", counted(len(plan.differences), "value"))]
    return [
        (title if not index else "", verb if not index else "", each.where, each.old or "-", each.new or "-")
        for index, each in enumerate(plan.differences)
    ]


def _plan_facts(plan: ClusterPlan) -> tuple[tuple[str, str], ...]:
    return (
        ("namespace", plan.namespace),
        ("images", _images(plan)),
        ("revision", str(plan.revision or "none yet")),
        ("backup before", plan.backup or "none"),
    )


def cluster_report(run: ClusterRun, state: RunState = ENDED_WELL) -> Report:
    """What a deploy or a rollback did, or did so far."""
    plan = run.plan
    evidence = run.evidence
    return Report(
        title=f"{run.operation.capitalize()} of {run.deployment} in {run.connection.name}",
        sentence=_sentence(run, state),
        facts=_facts(run),
        tables=(
            Table("Steps", ("step", "time", "state"), tuple(step_row(each) for each in run.timings), right=("time",)),
            Table("Why it failed: containers", ("container", "state", "what it says"), evidence.states),
            Table("Why it failed: events", ("object", "reason", "message"), evidence.events),
            Table("Why it failed: the last lines of the log", ("line",), tuple((line,) for line in evidence.lines)),
            *(cluster_plan_tables(plan) if plan else ()),
        ),
        next_steps=(going_step(),) if state.going else _next_steps(run, state),
    )


def _sentence(run: ClusterRun, state: RunState) -> str:
    if state.going:
        return f"Going on: {run.timings[-1][0]}." if run.timings else "Going on."
    if state.problem:
        return f"Failed: {state.problem}"
    if run.plan is None:
        return run.recovered or "Nothing was left to finish or put back."
    if run.plan.empty:
        return "Nothing differed: nothing was changed."
    return f"{cluster_plan_sentence(run.plan)[:-1]}, in {readable_seconds(run.seconds)}."


def _facts(run: ClusterRun) -> tuple[tuple[str, str], ...]:
    found = [("started by", run.owner), ("begun", readable_time(run.started, seconds=True))]
    if run.recovered:
        found.append(("before it", run.recovered))
    if run.plan is not None:
        found += [("plan", run.plan.hash[:12]), *_plan_facts(run.plan)]
        found.append(("approved by", run.approved_by or "nobody was asked"))
    if run.backups:
        found.append(("backup", run.backups[0]))
    if run.release is not None:
        found.append(("release", run.release.id))
        found.append(("runs as revision", str(run.release.revision or "-")))
    if run.smoke:
        found.append(("smoke test", run.smoke))
    return tuple(found)


def _next_steps(run: ClusterRun, state: RunState) -> tuple[str, ...]:
    remarks = run.plan.remarks if run.plan else ()
    if state.problem:
        return (*remarks, "platformctl k8s history shows the revisions; platformctl k8s logs what the pods say.")
    if run.plan is None or run.plan.empty:
        return remarks
    if run.operation == "rollback":
        return (*remarks, "Deploy again when the cause is found.")
    return (*remarks, "platformctl k8s rollback goes back to the revision before.")


def history_report(
    deployment: str, cluster: str, rows: Sequence[tuple[str, ...]], releases: Sequence[Release]
) -> Report:
    """The revisions that there are to go back to, and the releases that are recorded, newest first."""
    rows_of_releases = tuple(
        (
            each.id,
            each.state,
            readable_time(each.begun),
            str(each.revision or "-"),
            _versions(each.images),
            each.by,
            each.approved_by or "-",
            each.why,
        )
        for each in reversed(releases)
    )
    header = ("release", "state", "begun", "revision", "images", "by", "approved by", "why it failed")
    return Report(
        f"History of {deployment} in {cluster}",
        f"{counted(len(rows), 'revision')} to go back to, {counted(len(rows_of_releases), 'release')} recorded.",
        tables=(
            Table("Revisions", ("revision", "images", "made", "pods", "deployed by"), tuple(rows)),
            Table("Releases", header, rows_of_releases),
        ),
        next_steps=("platformctl k8s rollback --to-revision N goes back to one.",),
    )
