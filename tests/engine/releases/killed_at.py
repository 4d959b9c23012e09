"""`python -m tests.engine.releases.killed_at FOLDER PROJECT PORT STORE OPERATION MOMENT STEP`: a change that is killed.

It is this process that dies by SIGKILL: `before` or `after` the work of the journal's step, which is not noted as ended.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from engine.errors import PlatformOpsError
from engine.progress import silent
from engine.steps import Broken, InShell, Step, Then
from tests.engine.releases.place import Place

Made = TypeVar("Made")


@dataclass(frozen=True)
class Deadly:
    """Carries out steps like `InShell`, until the fatal one."""

    journal: Path
    moment: str
    fatal: str

    def run(self, step: Step[Made]) -> Made:
        if self.moment == "before":
            self._die()
        made = InShell(silent).run(step)
        if self.moment == "after":
            self._die()
        return made

    def tried(self, step: Step[Made]) -> Made | PlatformOpsError:
        return self.run(step)

    def each(self, steps: Sequence[Step[Made]], at_once: int, then: Then[Made], broken: Broken) -> None:
        InShell(silent).each(steps, at_once, then, broken)

    def _die(self) -> None:
        if self.journal.exists():
            begun = json.loads(self.journal.read_text(encoding="utf8"))["begun"]
            if begun and begun[-1] == self.fatal:
                os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    folder, project, port, store, operation, moment, step, *versions = sys.argv[1:]
    place = Place(Path(folder), project, int(port), Path(store))
    named = dict(word.split("=") for word in versions)
    place.change(operation, Deadly(Path(folder, "run/journal.json"), moment, step), **named)


if __name__ == "__main__":
    main()
