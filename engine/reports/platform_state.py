"""What a platform is doing, for people."""

from __future__ import annotations

from datetime import UTC, datetime

from engine.operations.platform_state import PlatformState, ServiceState
from engine.progress import counted, readable_seconds
from engine.words.report import Report, Table

_DIGEST = 19


def state_report(state: PlatformState) -> Report:
    """Versions, since when they run, and what is not well."""
    ill = [each for each in state.services if each.well]
    wrong = [path for path, _, why in state.routes if why]
    routes = f", {counted(len(state.routes) - len(wrong), 'route', len(state.routes))} well" if state.routes else ""
    well = len(state.services) - len(ill)
    release = state.release.id if state.release else "nothing"
    return Report(
        title=f"State of {state.platform}",
        sentence=f"Release {release}: {counted(well, 'service', len(state.services))} well{routes}.",
        tables=(
            Table(
                "Services",
                ("service", "version", "image", "since", "health", "what is wrong"),
                tuple(map(_row, state.services)),
            ),
            Table(
                "Routes",
                ("route", "answers", "what is wrong"),
                tuple((p, str(s or "nothing"), w) for p, s, w in state.routes),
            ),
        ),
        next_steps=(f"{state.cut_off}: platformctl resume finishes or reverts it.",) if state.cut_off else (),
    )


def _row(state: ServiceState) -> tuple[str, ...]:
    container = state.container
    since = "-"
    if container and container.running and container.started:
        since = readable_seconds((datetime.now(UTC) - container.started).total_seconds())
    health = "stopped" if container is None or not container.running else container.health or "runs"
    return (
        state.service,
        state.version or "-",
        state.digest.removeprefix("sha256:")[: _DIGEST - 7],
        since,
        health,
        state.well,
    )
