"""A Job made of a CronJob's template, as `kubectl create job --from=cronjob/NAME` does; and how it stands. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.errors import ConfigurationError
from engine.kubernetes.objects import Object, name_of

PERIOD = "platform-ops/period"
_LONGEST = 63


@dataclass(frozen=True, slots=True)
class JobState:
    """`ended`: '' while it runs, else Complete or Failed; `why` it failed."""

    ended: str
    why: str = ""


def job_of(cron_job: Object, name: str, period: str, environment: Mapping[str, str]) -> Object:
    """The Job. `period` is what it is for (2026-11); the variables are given to its containers.

    Raises:
        ConfigurationError: the name is too long for one.
    """
    if len(name) > _LONGEST:
        raise ConfigurationError(
            f"The Job {name} would have a name of more than {_LONGEST} letters; shorten the CronJob's."
        )
    template: Object = json.loads(json.dumps(cron_job["spec"]["jobTemplate"]))
    metadata = template.setdefault("metadata", {})
    annotations = {**(metadata.get("annotations") or {}), "cronjob.kubernetes.io/instantiate": "manual", PERIOD: period}
    owner = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "name": name_of(cron_job),
        "uid": cron_job["metadata"]["uid"],
        "controller": True,
    }
    for container in template["spec"]["template"]["spec"]["containers"]:
        given = [each for each in container.get("env") or () if each["name"] not in environment]
        container["env"] = [*given, *({"name": key, "value": value} for key, value in environment.items())]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {**metadata, "name": name, "annotations": annotations, "ownerReferences": [owner]},
        "spec": template["spec"],
    }


def state_of(job: Object) -> JobState:
    for each in (job.get("status") or {}).get("conditions") or ():
        if each["type"] in ("Complete", "Failed") and each["status"] == "True":
            return JobState(each["type"], " ".join(filter(None, (each.get("reason"), each.get("message")))))
    return JobState("")


def attempts(jobs: Sequence[Object], cron_job: str, period: str) -> list[Object]:
    """The Jobs of a CronJob for a period, oldest first."""
    found = [
        each
        for each in jobs
        if (each["metadata"].get("annotations") or {}).get(PERIOD) == period
        and any(owner["name"] == cron_job for owner in each["metadata"].get("ownerReferences") or ())
    ]
    return sorted(found, key=lambda each: str(each["metadata"]["creationTimestamp"]))
