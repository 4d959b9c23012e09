"""`python -m tests.engine.releases.killed_at WAY MOMENT STEP PLATFORM VERSION...`: a deploy that is killed.

WAY is platformctl (whose configuration PLATFORM_OPS_CONFIG names) or flow (whose blocks are in the Prefect that the
environment names). The process dies by SIGKILL: `after` the work of the journal's step and before it is noted as ended,
or `before` that work; or, at `undo`, after what takes that step back.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from functools import partial

from engine.progress import Progress
from engine.releases.rollout.part import Part
from engine.releases.rollout.rollout import Rollout


def deadly(moment: str, fatal: str) -> None:
    """Let this process die at that moment."""
    begins, parts = Rollout.begins, Rollout.parts

    def begin(rollout: Rollout, part: Part) -> None:
        begins(rollout, part)
        if moment == "before" and part.name == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        if moment == "after" and part.name == fatal:
            setattr(Rollout, "ended", _die)  # noqa: B010 - mypy takes no method that is assigned to

    def fatal_parts(rollout: Rollout) -> tuple[Part, ...]:
        def undo(part: Part, progress: Progress) -> None:
            assert part.undo is not None
            part.undo(progress)
            os.kill(os.getpid(), signal.SIGKILL)

        return tuple(replace(each, undo=partial(undo, each)) if each.name == fatal else each for each in parts(rollout))

    setattr(Rollout, "begins", begin)  # noqa: B010
    if moment == "undo":
        setattr(Rollout, "parts", fatal_parts)  # noqa: B010


def _die(rollout: Rollout, part: Part) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    way, moment, step, platform, *versions = sys.argv[1:]
    deadly(moment, step)
    if way == "flow":
        from flows.deploy import deploy

        deploy(platform, tuple(versions))
    else:
        from engine.cli import main as platformctl

        sys.exit(platformctl(["deploy", "--platform", platform, *versions]))


if __name__ == "__main__":
    main()
