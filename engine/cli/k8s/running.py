"""What the commands that change an application have in common."""

from __future__ import annotations

from typing import Any

from engine.cli.approval import approved, owner
from engine.cli.invocation import Invocation
from engine.cli.outcome import Outcome, problem_of
from engine.errors import PlatformOpsError
from engine.kubernetes.plan import ClusterPlan
from engine.operations.cluster_incident import Incident
from engine.operations.cluster_release import ClusterRun
from engine.operations.timings import Timings
from engine.reports.cluster import cluster_plan_report, cluster_report
from engine.run_state import RunState
from engine.sources import registry
from engine.steps import InShell


def run_of(
    invocation: Invocation, cluster: str | None, operation: str, approve: str | None = None, **wanted: Any
) -> ClusterRun:
    """A change that is not carried out yet."""
    connection = invocation.cluster(cluster)

    def ask(plan: ClusterPlan) -> str:
        if not connection.settings.needs_approval:
            return ""
        return approved(plan.hash, cluster_plan_report(plan), plan.environment, approve)

    return ClusterRun(
        connection,
        operation,
        owner(f"k8s {operation}"),
        ask,
        invocation.repository,
        lambda name: registry.open_source(invocation.settings, name),
        **wanted,
    )


def carry_out(invocation: Invocation, run: ClusterRun) -> Outcome:
    """One change, from the lock to the report."""
    problem: PlatformOpsError | None = None
    try:
        run.carry_out(InShell(invocation.progress))
    except PlatformOpsError as error:
        if run.plan is None and not run.recovered:
            raise
        problem = error
    state = RunState(problem=str(problem) if problem else "")
    shown = problem_of(problem) if problem else None
    return Outcome(
        f"k8s {run.operation}", result_of(run, changed=not problem), cluster_report(run, state), problem=shown
    )


def result_of(run: ClusterRun, *, changed: bool) -> dict[str, Any]:
    plan, evidence = run.plan, run.evidence
    return {
        "cluster": run.connection.name,
        "namespace": run.connection.namespace,
        "plan": plan.model_dump(mode="json") | {"hash": plan.hash} if plan else None,
        "release": run.release.model_dump(mode="json", exclude={"configs"}) if run.release else None,
        "changed": bool(plan and not plan.empty and changed),
        "images": dict(plan.images) if plan else {},
        "recovered": run.recovered or None,
        "undone": run.undone or None,
        "approved_by": run.approved_by or None,
        "backups": list(run.backups),
        "steps": steps_of(run.timings),
        "evidence": {"containers": evidence.states, "events": evidence.events, "lines": evidence.lines},
        "seconds": round(run.seconds, 3),
    }


def steps_of(timings: Timings) -> list[dict[str, Any]]:
    return [{"step": title, "seconds": round(took, 3), "state": how} for title, took, how in timings]


def incident_of(invocation: Invocation, cluster: str | None, command: str) -> Incident:
    return Incident(invocation.cluster(cluster), owner(f"k8s {command}"))


def incident_outcome(command: str, incident: Incident) -> Outcome:
    text = "".join(f"{line}\n" for line in (incident.outcome, *incident.remarks))
    result = {"outcome": incident.outcome, "remarks": incident.remarks, "steps": steps_of(incident.timings)}
    return Outcome(f"k8s {command}", result, text=text)
