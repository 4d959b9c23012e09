"""The kind of set that a volume makes, and what its manifests say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self, cast

from pydantic import Field

from engine.config.settings import Retention
from engine.progress import readable_seconds
from engine.repository.body import Body
from engine.sources.kind import Facts, Kind


class VolumeFacts(Facts):
    """`volume` is what the engine calls it, `labels` are its own. `bytes` are those of the archive before it was packed,
    `links_out` how many symbolic links lead out of it; `down_seconds` how long containers were stopped for it."""

    volume: str
    quiesce: str
    files: int
    folders: int
    bytes: int
    links_out: int = 0
    databases: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()
    down_seconds: float = 0.0
    labels: dict[str, str] = Field(default={})

    def counts(self) -> Mapping[str, int]:
        return {"folder": self.folders, "file": self.files}

    def cells(self) -> Mapping[str, str]:
        return {"stopped": readable_seconds(self.down_seconds) if self.stopped else "-"}

    @classmethod
    def of_all(cls, facts: Sequence[Self]) -> tuple[tuple[str, str], ...]:
        down = [(name, one.down_seconds) for one in facts for name in one.stopped]
        message = ", ".join(f"{name} for {readable_seconds(seconds)}" for name, seconds in down)
        return (("stopped meanwhile", message),) if message else ()


VOLUME = Kind("volume", "volume", VolumeFacts, Retention(days=28), max_age_hours=8 * 24)
"""Weekly, kept for four weeks; a day of grace before one is overdue."""


def facts_of(body: Body) -> VolumeFacts:
    """The facts of a volume's set; raises as `Kind.facts_of`."""
    return cast(VolumeFacts, VOLUME.facts_of(body))
