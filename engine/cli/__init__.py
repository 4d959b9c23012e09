"""platformctl: every operation from a shell, without Prefect. One file per command."""

from engine.cli.program import main

__all__ = ["main"]
