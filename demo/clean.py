"""`python -m demo.clean`: end the demo and remove all it made."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

from demo.layout import Layout
from demo.state import alone, read
from demo.stop import stop
from engine.errors import OperationFailed, PlatformOpsError


def clean(layout: Layout) -> None:
    """Stop, then remove `.demo/` and the database's folder if that had to be elsewhere.

    Raises:
        OperationFailed: a folder cannot be removed.
    """
    with alone(layout, "make clean"):
        stop(layout)
        elsewhere = read(layout).postgres_folder
        for folder in (Path(elsewhere) if elsewhere else layout.postgres, layout.root):
            try:
                if folder.exists():
                    shutil.rmtree(folder)
            except OSError as error:
                raise OperationFailed(
                    f"{error.filename} cannot be removed: {error.strerror}; remove {folder} by hand."
                ) from None


def main() -> None:
    """Say what was removed."""
    layout = Layout()
    if not layout.root.is_dir():
        click.echo("There is no demo here.")
        return
    try:
        clean(layout)
    except PlatformOpsError as error:
        click.echo(str(error), err=True)
        sys.exit(error.exit_code)
    click.echo(f"Removed {layout.root}.")


if __name__ == "__main__":
    main()
