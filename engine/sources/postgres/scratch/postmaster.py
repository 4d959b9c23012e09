"""What a data folder and the process table say of the server that runs in it."""

from __future__ import annotations

from pathlib import Path

from engine.hosts.processes import arguments


def is_ready(data: Path, pid: int) -> bool:
    """Whether the server with this first process takes connections."""
    lines = _pid_lines(data)
    return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"


def recorded_pid(data: Path) -> int | None:
    """The first process of the server that runs in this data folder, or ran last."""
    lines = _pid_lines(data)
    return int(lines[0]) if lines and lines[0].isdigit() else None


def serves(pid: int, data: Path) -> bool:
    """Whether this process is a PostgreSQL server of that data folder (its command line says so)."""
    line = arguments(pid)
    return len(line) > 2 and Path(line[0]).name == "postgres" and line[1:3] == ("-D", str(data))


def _pid_lines(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text(encoding="utf8", errors="replace").splitlines()
    except OSError:
        return []
