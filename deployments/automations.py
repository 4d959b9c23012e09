"""Automations, found by name and updated: creating one twice would make two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

from engine.config.settings import SourceSettings
from engine.sources.registry import max_age_hours
from tasks.naming import WHOM
from tasks.running import SAMPLED, SKIPPED, TAG
from tasks.watching import Shown, event_of, resource_of

POOLS = {
    "backup": "Backups, verification, pruning: needs no private key.",
    "deploy": "Deploys, rollbacks, starts and stops: its worker is on the platform's host, or reaches it over SSH.",
    "restore": "Drills and restores: its worker runs where the private key is.",
}
"""The work pools, and what each is for."""
ALERT_BLOCK = "alerts"
"""The name of the notification block (Slack, Teams, e-mail, ...) an operator makes in the UI."""

_PREFIX = "platform-ops: "
_HEARTBEAT = "prefect.flow-run.heartbeat"
_ENDS = {
    f"prefect.flow-run.{state}"
    for state in ("Completed", SAMPLED, "Failed", "TimedOut", "Cancelled", SKIPPED, "Crashed")
}
"""Events are named after a state's name, not its type."""
_RUNS: dict[str, Any] = {
    "match": {"prefect.resource.id": "prefect.flow-run.*"},
    "match_related": {"prefect.resource.id": f"prefect.tag.{TAG}", "prefect.resource.role": "tag"},
    "for_each": {"prefect.resource.id"},
    "threshold": 1,
}
"""A trigger's part that means each of our own runs: another's heart may beat more slowly, or not at all."""
_ZOMBIE_AFTER = timedelta(seconds=100)  # three missed heartbeats of 30 s, the least Prefect allows
_NO_HEARTBEAT = (
    "No heartbeat: the process was killed or its host is gone; start the run again. Where Prefect itself was away, the "
    "run may still work: then its own end replaces this."
)
_NO_WORKER_AFTER, _LATE_AFTER = timedelta(minutes=2), timedelta(minutes=5)
_BEGINS_WITHIN = timedelta(minutes=10)  # a worker starts a process in seconds
_NEVER_BEGAN = "A worker took it and it never began: the worker's host is gone or has no room. Start the run again."
_WHOM = " or ".join(f"flow_run.parameters.{each}" for each in WHOM)
_RUN = f"{{{{ flow.name }}}} of {{{{ {_WHOM} }}}}"
_SUBJECT = f"{_RUN}: {{{{ flow_run.state.name }}}}"
_LATEST = f"{{% if flow_run %}}: {_RUN}{{% endif %}}"  # a run that was deleted silences no alarm
_BODY = (
    "{{ flow.name }} / {{ flow_run.name }} is {{ flow_run.state.name }}.\n"
    "{{ (flow_run.state.message or '') | replace('Flow run encountered an exception: ', '') }}\n"
    "{{ (flow_run | ui_url) or '' }}"  # a server that was not told its own address knows none
)


def wanted(alert_block: UUID | None, sources: Mapping[str, SourceSettings]) -> Iterator[AutomationCore]:
    """Every automation of this installation. Without a notification block there is nobody to tell."""
    yield _zombies()
    yield _never_began()
    if alert_block is not None:
        yield _bad_runs(alert_block)
        yield no_worker(alert_block)
        yield late_runs(alert_block)
        for source, settings in sources.items():
            for kind, hours in max_age_hours(settings).items():
                within = timedelta(hours=hours)
                for name in _waited_for(settings, kind):
                    yield silence(source, kind, "verified", alert_block, within, name)
                    yield silence(source, kind, "proven", alert_block, within, name)


def _waited_for(settings: SourceSettings, kind: str) -> Sequence[str]:
    """The declared things of a kind, each with an alarm of its own: one that is shown to be good says nothing of another.
    '' where none is: any thing of the kind."""
    return [name for name in settings.declared.get(kind, ()) if name not in settings.exclude] or [""]


def _zombies() -> AutomationCore:
    """A killed run tells nobody: when its heartbeats stop, or none ever comes, call it crashed, which lets the next
    one begin.

    A Prefect that comes back after a longer absence calls those crashed whose heartbeats it missed; Crashed is not
    the last word on a run that lives.
    """
    return AutomationCore(
        name=f"{_PREFIX}end zombie runs",
        description="A run whose heartbeats stopped was killed; it is marked crashed.",
        trigger=EventTrigger(
            **_RUNS,
            after={"prefect.flow-run.Running", _HEARTBEAT},
            expect={_HEARTBEAT} | _ENDS,
            posture=Posture.Proactive,
            within=_ZOMBIE_AFTER,
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                message=_NO_HEARTBEAT,
            )
        ],
    )


def _never_began() -> AutomationCore:
    """A run whose host was lost between being taken and Running would hold its queue's only place."""
    waiting = {f"prefect.flow-run.{state}" for state in ("Running", "Scheduled", "Late", "AwaitingRetry")}
    return AutomationCore(
        name=f"{_PREFIX}end runs that never began",
        description="A run that a worker took and that did not begin within ten minutes is marked crashed.",
        trigger=EventTrigger(
            **_RUNS,
            after={"prefect.flow-run.Pending"},
            expect=waiting | _ENDS,
            posture=Posture.Proactive,
            within=_BEGINS_WITHIN,
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message=_NEVER_BEGAN)],
    )


def _bad_runs(alert_block: UUID) -> AutomationCore:
    return AutomationCore(
        name=f"{_PREFIX}failed and crashed runs",
        description="Tells the block `alerts` about every run that failed or crashed.",
        trigger=EventTrigger(
            **_RUNS,
            expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed", "prefect.flow-run.TimedOut"},
            posture=Posture.Reactive,
        ),
        actions=[_notify(alert_block, _SUBJECT, _BODY)],
    )


def no_worker(alert_block: UUID, within: timedelta = _NO_WORKER_AFTER) -> AutomationCore:
    """Prefect calls a pool not ready a minute and a half after its last worker's last heartbeat; one that is only
    restarted is back before this fires."""
    return AutomationCore(
        name=f"{_PREFIX}no worker",
        description="A work pool whose workers are gone is told within minutes.",
        trigger=EventTrigger(
            after={"prefect.work-pool.not-ready"},
            expect={"prefect.work-pool.ready"},
            match={"prefect.resource.id": "prefect.work-pool.*", "prefect.resource.name": list(POOLS)},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=within,
        ),
        actions=[
            _notify(
                alert_block,
                "No worker is alive for the work pool {{ work_pool.name }}",
                "Nothing of the pool {{ work_pool.name }} runs until one is: no backup, or no drill and restore. Start the "
                "worker again on its host (prefect worker start --pool {{ work_pool.name }}).",
            )
        ],
    )


def late_runs(alert_block: UUID, within: timedelta = _LATE_AFTER) -> AutomationCore:
    """A run is late and nothing of its pool begins or beats: one that only waits for another run is no alarm."""
    return AutomationCore(
        name=f"{_PREFIX}late runs",
        description="A run that was due and that no worker takes is told within minutes.",
        trigger=EventTrigger(
            **_RUNS | {"for_each": {"related:work-pool:prefect.resource.id"}},
            after={"prefect.flow-run.Late"},
            expect={_HEARTBEAT, "prefect.flow-run.Pending", "prefect.flow-run.Running"} | _ENDS,
            posture=Posture.Proactive,
            within=within,
        ),
        actions=[
            _notify(
                alert_block,
                f"Runs are late and nobody takes them{_LATEST}",
                "A run was due, and no worker of its pool takes it: is a worker alive on its host, is the pool or its queue "
                "paused? Missed runs start by themselves when one is back; of those only the newest does the work.",
            )
        ],
    )


def silence(
    source: str, kind: str, shown: Shown, alert_block: UUID, within: timedelta, name: str = ""
) -> AutomationCore:
    """The dead-man's switch: fires `within` after the last such event of a kind of a source (of one thing of it, where
    there is a name), or after its own creation.

    `after` makes each event begin a new period. Without `for_each`, Prefect begins one by itself where there is
    none: "never" fires too, and silence that goes on fires again after two more periods.
    """
    hours = f"{within.total_seconds() / 3600:g} hours"
    thing = f"{kind} {name}" if name else kind
    what = f"no {thing} of {source} {shown} for {hours}"
    return AutomationCore(
        name=f"{_PREFIX}{what}",
        description=f"No run has {shown} a set of {thing} of {source} for {hours}, or ever.",
        trigger=EventTrigger(
            after={event_of(shown)},
            expect={event_of(shown)},
            match={"prefect.resource.id": resource_of(source, kind, name)},
            posture=Posture.Proactive,
            threshold=1,
            within=within,
        ),
        actions=[
            _notify(
                alert_block,
                f"Backups: {what}",
                f"No run has {shown} a set of {thing} of {source} for {hours}. Is a worker running, is the schedule on? "
                f"Run check-backups for {source}: it says what the stores hold.",
            )
        ],
    )


def _notify(block: UUID, subject: str, body: str) -> SendNotification:
    return SendNotification(block_document_id=block, subject=subject, body=body)


def alert_block(client: SyncPrefectClient) -> UUID | None:
    """The notification block called `alerts`, of whatever type."""
    query = {
        "block_documents": {"name": {"any_": [ALERT_BLOCK]}},
        "block_schemas": {"block_capabilities": {"all_": ["notify"]}},
        "limit": 1,
    }
    found = client.request("POST", "/block_documents/filter", json=query).json()
    return UUID(found[0]["id"]) if found else None


def apply_automation(client: SyncPrefectClient, automation: AutomationCore) -> str:
    """Create or update one; the line says which. What an operator switched off stays off."""
    found = client.read_automations_by_name(automation.name)
    if not found:
        client.create_automation(automation)
        return f"+ automation {automation.name}"
    first, *others = found
    for other in others:
        client.delete_automation(other.id)
    automation = automation.model_copy(update={"enabled": first.enabled})
    if _content(first) == _content(automation):
        return f"= automation {automation.name}"
    client.update_automation(first.id, automation)
    return f"~ automation {automation.name}"


def remove_unwanted(client: SyncPrefectClient, wanted_names: set[str]) -> list[str]:
    """Delete automations of ours that are wanted no more (their notification block is gone)."""
    found = [a for a in client.read_automations() if a.name.startswith(_PREFIX) and a.name not in wanted_names]
    for automation in found:
        client.delete_automation(automation.id)
    return [f"- automation {automation.name}" for automation in found]


def _content(automation: AutomationCore) -> dict[str, Any]:
    content = automation.model_dump(mode="json", include=set(AutomationCore.model_fields))
    content["trigger"].pop("id", None)
    for name in ("after", "expect", "for_each"):  # sets, in whatever order
        content["trigger"][name] = sorted(content["trigger"][name])
    return content
