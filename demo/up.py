"""`python -m demo.up`: from an empty machine to a proven backup in the Prefect UI."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed

import click

from demo import configuration, database, prefect_server
from demo.layout import Layout
from demo.progress import Progress
from demo.state import alone
from engine.errors import PlatformOpsError
from engine.sources.registry import load_settings


def up(layout: Layout, progress: Progress) -> None:
    """Start what does not run, deploy, back up, drill, and say what came of it.

    Raises:
        PlatformOpsError: something did not go well. What runs is kept; running it again continues.
    """
    database.reserve(layout)
    prefect_server.reserve(layout)
    configuration.write(layout)
    # Before Prefect is imported: it reads its settings then, and must not read the user's own.
    os.environ.clear()
    os.environ.update(prefect_server.environment(layout))
    with ThreadPoolExecutor(max_workers=2) as pool:
        parts = [pool.submit(database.start, layout, progress), pool.submit(_prefect, layout, progress)]
        for part in as_completed(parts):
            part.result()
    _walk(layout, progress)


def _prefect(layout: Layout, progress: Progress) -> None:
    prefect_server.start(layout, progress)
    from deployments.apply import apply

    with progress.doing("Prefect: applying platform-ops.toml and prefect.yaml"):
        apply(load_settings(layout.config), report=lambda line: progress.say(f"Prefect: {line}"))
    started = prefect_server.start_workers(layout, progress)
    from demo.flow_runs import settle_orphans

    settle_orphans(started, progress)


def _walk(layout: Layout, progress: Progress) -> None:
    from demo.flow_runs import run
    from demo.summary import summary

    def trouble() -> str | None:
        return prefect_server.trouble(layout)

    backup = run("nightly-backup", progress, trouble)
    drill = run("restore-drill", progress, trouble)
    click.echo(summary(layout, backup, drill, progress.seconds))


def main() -> None:
    """Exit code 0 only when the backup was stored and the drill passed."""
    layout, progress = Layout(), Progress()
    try:
        layout.make()
        with alone(layout, "make demo"), progress.never_silent():
            up(layout, progress)
    except PlatformOpsError as error:
        click.echo(f"\n{error}\n`make demo` again continues; `make clean` starts from nothing.", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        click.echo("\nInterrupted. `make demo` again continues, `make stop` ends what runs.", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
