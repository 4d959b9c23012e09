"""What a drill finds on its way, and the result with its evidence that comes out of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict

from engine.repository.body import Body
from engine.repository.keys import SetKey
from engine.repository.verdict_keys import VerdictResult

Result = Literal["passed", "sampled", "failed", "unverified"]
_EVIDENCE = 200


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Difference(_Frozen):
    """One thing that is not as it was: where, what kind, what was expected and what was found."""

    where: str
    kind: str
    name: str
    expected: str
    found: str


class Compared(_Frozen):
    """One thing that was restored and compared: `counts` are what was found in it after the restore, by noun."""

    name: str
    differences: int
    counts: dict[str, int] = {}
    restore_seconds: float = 0.0
    compare_seconds: float = 0.0


class DrillResult(_Frozen):
    """The verdict with its evidence.

    `sampled`: nothing differs, but only a sample was compared: that proves nothing.
    `rto_seconds`: from an empty machine's first step to the last thing restored.
    `rpo_seconds`: the age of the set when the drill began: what would be lost today.
    `missing`: what the set says it does not carry, and what the drill saw that it lacks.
    `remarks`: what else its kind has to say, by name.
    `sample_percent`: how much in a hundred was compared; 100 is all.
    """

    set_key: str
    result: Result
    sentence: str
    started: datetime
    seconds: float
    rto_seconds: float | None
    rpo_seconds: float
    stored_bytes: int
    compared: tuple[Compared, ...]
    differences: tuple[Difference, ...]
    missing: tuple[str, ...]
    remarks: dict[str, str] = {}
    sample_percent: int = 100

    @property
    def verdict(self) -> VerdictResult:
        """The result as a verdict's key tells it: what a listing knows of the set without reading it."""
        return "incomplete" if self.result == "passed" and self.missing else self.result

    @classmethod
    def of_verdict(cls, document: Mapping[str, Any]) -> Self:
        """The result as a verdict's file holds it; pydantic's ValidationError where it is none."""
        fields = {name: document[name] for name in cls.model_fields if name in document}
        if fields.get("result") == "incomplete":
            fields["result"] = "passed"
        return cls.model_validate(fields)


@dataclass
class Findings:
    """What a drill has found so far: it is reported even when the drill ends early.

    `private`: also the names of what is in the set are told in the run's own report alone, where it is encrypted.
    `noun` is what `compared` are, for the sentence: `database`. `lacking` is what the drill saw that the set does not
    carry, beside what its manifest says.
    """

    key: SetKey
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    began: float = field(default_factory=time.monotonic)
    body: Body | None = None
    noun: str = "thing"
    private: bool = False
    compared: tuple[Compared, ...] = ()
    differences: tuple[Difference, ...] = ()
    rto_seconds: float | None = None
    sample_percent: int = 100
    lacking: tuple[str, ...] = ()
    remarks: dict[str, str] = field(default_factory=dict)

    def restored(self) -> None:
        """All is restored now, which is what the RTO counts."""
        self.rto_seconds = time.monotonic() - self.began

    @property
    def missing(self) -> tuple[str, ...]:
        return (*(self.body.missing if self.body else ()), *self.lacking)

    def result(self, result: Result, sentence: str) -> DrillResult:
        return DrillResult(
            set_key=str(self.key),
            result=result,
            sentence=sentence,
            started=self.started,
            seconds=time.monotonic() - self.began,
            rto_seconds=self.rto_seconds,
            rpo_seconds=(self.started - self.key.created).total_seconds(),
            stored_bytes=self.body.size if self.body else 0,
            compared=self.compared,
            differences=self.differences[:_EVIDENCE],
            missing=self.missing,
            remarks=self.remarks,
            sample_percent=self.sample_percent,
        )
