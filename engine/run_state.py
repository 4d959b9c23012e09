"""How far a run is: a record in Prefect is made while the run goes on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RunState:
    """`going`: it has not ended yet. `problem`: why it failed, in one sentence; empty: it did not."""

    going: bool = False
    problem: str = ""


ENDED_WELL = RunState()
