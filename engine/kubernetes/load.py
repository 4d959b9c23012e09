"""What pods use, in numbers: quantities as Kubernetes writes them (`250m`, `1Gi`). Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from engine.kubernetes.objects import Object, name_of

_QUANTITY = re.compile(r"(?P<number>[0-9.]+)(?P<suffix>n|u|m|k|Ki|M|Mi|G|Gi|T|Ti)?")
_TIMES = {
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    None: 1.0,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "Ki": 2.0**10,
    "Mi": 2.0**20,
    "Gi": 2.0**30,
    "Ti": 2.0**40,
}


@dataclass(frozen=True, slots=True)
class PodLoad:
    """Cores and bytes now, and the limits (0: none); how often its containers were restarted."""

    pod: str
    cores: float
    memory: float
    cores_limit: float
    memory_limit: float
    restarts: int


def quantity(text: str) -> float:
    """`250m` is 0.25, `1Gi` 1073741824."""
    match = _QUANTITY.fullmatch(text)
    return float(match["number"]) * _TIMES[match["suffix"]] if match else 0.0


def load_of(pods: Sequence[Object], metrics: Sequence[Object]) -> list[PodLoad]:
    """Each pod that is measured, the one with the most CPU first."""
    measured = {name_of(each): each["containers"] for each in metrics}
    found = []
    for pod in pods:
        if name_of(pod) not in measured:
            continue
        used = [each["usage"] for each in measured[name_of(pod)]]
        limits = [(each.get("resources") or {}).get("limits") or {} for each in pod["spec"]["containers"]]
        statuses = (pod.get("status") or {}).get("containerStatuses") or ()
        found.append(
            PodLoad(
                name_of(pod),
                sum(quantity(each["cpu"]) for each in used),
                sum(quantity(each["memory"]) for each in used),
                sum(quantity(str(each.get("cpu", "0"))) for each in limits),
                sum(quantity(str(each.get("memory", "0"))) for each in limits),
                sum(int(each.get("restartCount", 0)) for each in statuses),
            )
        )
    return sorted(found, key=lambda each: -each.cores)
