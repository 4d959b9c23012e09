"""`python -m demo.stop`: end exactly the processes that state.json records; the data stays."""

from __future__ import annotations

import sys

import click

from demo import background, database, prefect_server
from demo.layout import Layout
from demo.state import alone, read
from engine.errors import PlatformOpsError


def stop(layout: Layout) -> list[str]:
    """End everything the demo runs, workers first; the names of what was running."""
    recorded = set(read(layout).processes) - {database.NAME}
    ordered = [prefect_server.worker(pool) for pool in layout.pools] + [prefect_server.NAME]
    names = [name for name in ordered if name in recorded] + sorted(recorded - set(ordered))
    ended = [name for name in names if background.end(layout, name)]
    if database.stop(layout):
        ended.append(database.NAME)
    return ended


def main() -> None:
    """Say what was ended."""
    layout = Layout()
    if not layout.root.is_dir():
        click.echo("There is no demo here.")
        return
    try:
        with alone(layout, "make stop"):
            ended = stop(layout)
    except PlatformOpsError as error:
        click.echo(str(error), err=True)
        sys.exit(error.exit_code)
    click.echo(f"Ended: {', '.join(ended)}." if ended else "Nothing was running.")
    click.echo("The data is kept: `make demo` continues with it, `make clean` removes it.")


if __name__ == "__main__":
    main()
