"""What a drill finds on its way, and the verdict with its evidence that comes out of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict

from engine.postgres.compare import Difference
from engine.sets.keys import SetKey, VerdictResult
from engine.sets.manifest import Body

Result = Literal["passed", "sampled", "failed", "unverified"]
_EVIDENCE = 200


class DatabaseRow(BaseModel):
    """What the drill saw of one database: counts as found after the restore, seconds of its restore."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    database: str
    tables: int
    rows: int
    sequences: int
    large_objects: int
    differences: int
    restore_seconds: float
    compare_seconds: float


class DrillReport(BaseModel):
    """The verdict with its evidence.

    `sampled`: nothing differs, but only a sample of the rows was compared: that proves nothing.
    `rto_seconds`: from an empty machine's first step to the last database restored.
    `rpo_seconds`: the age of the set when the drill began: what would be lost today.
    `missing`: what the set says it does not carry, and what the drill saw that it lacks.
    `not_compared`: extensions whose members could not be, since the scratch server has another version.
    `scratch`: what the set was restored into, '' where it did not come so far.
    `sample_percent`: how many in a hundred rows were compared; 100 is all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    set_key: str
    result: Result
    sentence: str
    started: datetime
    seconds: float
    rto_seconds: float | None
    rpo_seconds: float
    stored_bytes: int
    server_version: str
    databases: tuple[DatabaseRow, ...]
    roles: int
    differences: tuple[Difference, ...]
    missing: tuple[str, ...]
    sample_percent: int = 100
    not_compared: tuple[str, ...] = ()
    scratch: str = ""

    @property
    def verdict(self) -> VerdictResult:
        """The result as a verdict's key tells it: what a listing knows of the set without reading it."""
        return "incomplete" if self.result == "passed" and self.missing else self.result

    @classmethod
    def of_verdict(cls, document: Mapping[str, Any]) -> Self:
        """The report as a verdict's file holds it; pydantic's ValidationError where it is none."""
        fields = {name: document[name] for name in cls.model_fields if name in document}
        if fields.get("result") == "incomplete":
            fields["result"] = "passed"
        return cls.model_validate(fields)


@dataclass
class Course:
    """What a drill has found so far: it is reported even when the drill ends early."""

    key: SetKey
    started: datetime
    began: float
    body: Body | None = None
    rows: tuple[DatabaseRow, ...] = ()
    differences: tuple[Difference, ...] = ()
    roles: int = 0
    rto_seconds: float | None = None
    sample_percent: int = 100
    lost_members: tuple[str, ...] = ()
    not_compared: tuple[str, ...] = ()
    scratch: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        return (*(self.body.missing if self.body else ()), *self.lost_members)

    def report(self, result: Result, sentence: str) -> DrillReport:
        return DrillReport(
            set_key=str(self.key),
            result=result,
            sentence=sentence,
            started=self.started,
            seconds=time.monotonic() - self.began,
            rto_seconds=self.rto_seconds,
            rpo_seconds=(self.started - self.key.created).total_seconds(),
            stored_bytes=self.body.size if self.body else 0,
            server_version=self.body.server_version if self.body else "",
            databases=self.rows,
            roles=self.roles,
            differences=self.differences[:_EVIDENCE],
            missing=self.missing,
            sample_percent=self.sample_percent,
            not_compared=self.not_compared[:_EVIDENCE],
            scratch=self.scratch,
        )
