"""The state of a platform as a command's outcome."""

from __future__ import annotations

from engine.cli.outcome import Outcome, problem_of
from engine.operations.platform_state import PlatformState
from engine.reports.platform_state import state_report


def state_outcome(command: str, state: PlatformState) -> Outcome:
    """Text, or one JSON document; the exit code is 1 when something is not well."""
    services = [
        {
            "service": each.service,
            "version": each.version,
            "image": each.digest,
            "container": each.container.name if each.container else None,
            "running": bool(each.container and each.container.running),
            "since": each.container.started.isoformat() if each.container and each.container.started else None,
            "health": each.container.health if each.container else None,
            "wrong": each.well or None,
        }
        for each in state.services
    ]
    routes = [{"route": path, "status": status, "wrong": wrong or None} for path, status, wrong in state.routes]
    result = {
        "platform": state.platform,
        "release": state.release.id if state.release else None,
        "services": services,
        "routes": routes,
    }
    return Outcome(command, result, state_report(state), problem=problem_of(state.problem) if state.problem else None)
