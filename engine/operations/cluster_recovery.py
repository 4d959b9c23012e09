"""What a run that was cut off began: finished where its rollout succeeds, else put back."""

from __future__ import annotations

from engine.errors import PlatformOpsError
from engine.kubernetes import records
from engine.kubernetes.connection import Connection
from engine.kubernetes.lease import Held
from engine.kubernetes.objects import DEPLOYMENTS, Object, digest, template_of
from engine.kubernetes.records import Release
from engine.kubernetes.waiting import Superseded
from engine.operations.cluster_change import LEFT_TO_THE_NEXT, Change
from engine.operations.timings import Timings
from engine.steps import Record, Steps


def recover(connection: Connection, timings: Timings, lease: Held, steps: Steps, record: Record) -> str:
    """Put it right; what was found and done in words, '' where nothing was left.

    Raises:
        PlatformOpsError: it cannot be told now; the next run tries it again.
    """
    cut = records.begun(connection, connection.settings.deployment)
    if cut is None:
        return ""
    who, change = f"The {cut.operation} of {cut.by} was cut off", Change(connection, timings, cut)
    if cut.migrating:
        return f"{who} {_migrating(change, cut)}"
    change.before, change.lost = records.read_before(connection, cut), cut.unrecorded
    live = connection.find(DEPLOYMENTS, cut.deployment)
    if records.is_before_its_rollout(cut, change.before, live):
        change.undo(steps, record, lease, "it was cut off before its rollout")
        return f"{who} before its rollout began. {change.undone}"
    if live is not None and digest(template_of(live)) == cut.template:
        return f"{who}. {_finished(change, cut, steps, record, lease, live)}"
    change.end("failed", "it was cut off, and the Deployment is another since")
    return f"{who}, and the Deployment is another since: it was left as it is."


def _migrating(change: Change, cut: Release) -> str:
    """Nothing was applied: there is nothing to put back but what people have to look at."""
    backed_up = f"after the backup {cut.backups[0]}" if cut.backups else "before its backup was done"
    names = ", ".join(cut.migrations)
    message = f"{backed_up}, while {names} were to be run; nothing was applied"
    change.end("failed", f"it was cut off {message}")
    return f"{message}. `platformctl k8s migrate --status` says where the database is."


def _finished(change: Change, cut: Release, steps: Steps, record: Record, lease: Held, live: Object) -> str:
    """What became of a rollout that nobody waited for any more."""
    try:
        others = [change.connection.find(DEPLOYMENTS, name) for name in cut.others]
        rollouts = [change.rollout(each) for each in (live, *others) if each is not None]
        change.accept(steps, record, change.succeed(steps, record, lease, rollouts))
        return "Its rollout ended well: it was finished."
    except Superseded as error:
        change.end("failed", str(error))
        return f"{error} It was left as it is."
    except LEFT_TO_THE_NEXT:
        raise
    except PlatformOpsError as error:
        change.undo(steps, record, lease, str(error))
        return f"{error} {change.undone}"
