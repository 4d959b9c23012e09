"""`python -m demo.platform`: the whole platform on this machine, deployed, updated and rolled back as flow runs.

`python -m demo.platform stop` takes it away and keeps its data; `clean` removes all it made.
"""

from __future__ import annotations

import os
import shutil
import sys

import click

from demo import platform_files, prefect_server
from demo.layout import Layout, platform_layout
from demo.platform_files import NAME, Address
from demo.progress import Progress
from demo.state import alone
from demo.stop import stop as stop_processes
from engine.errors import PlatformOpsError
from engine.sources.registry import load_settings


def up(layout: Layout, progress: Progress) -> None:
    """Build, start Prefect, and walk through a first deploy, an update and a rollback.

    Raises:
        PlatformOpsError: something did not go well. What runs is kept; running it again continues.
    """
    platform_files.require_docker()
    prefect_server.reserve(layout)
    platform_files.build_images(progress)
    address = platform_files.write(layout)
    os.environ.clear()
    os.environ.update(prefect_server.environment(layout))
    prefect_server.start(layout, progress)
    from deployments.apply import apply

    with progress.doing("Prefect: applying platform-ops.toml and prefect.yaml"):
        apply(load_settings(layout.config), report=lambda line: progress.say(f"Prefect: {line}"))
    started = prefect_server.start_workers(layout, progress)
    from demo.flow_runs import run, settle_orphans

    settle_orphans(started, progress)

    def trouble() -> str | None:
        return prefect_server.trouble(layout)

    newer = platform_files.VERSIONS[1]
    run("deploy", progress, trouble)
    run(
        "deploy",
        progress,
        trouble,
        {"platform": NAME, "versions": [f"kohub-backend={newer}", f"kohub-frontend={newer}"]},
    )
    run("rollback", progress, trouble)
    click.echo(_what_to_try(layout, address))


def _what_to_try(layout: Layout, address: Address) -> str:
    return f"""
The platform answers at {address.url} (a self-signed certificate), Prefect at {prefect_server.address(layout)}.
A first deploy, an update and a rollback are there as flow runs, each with its record.

Try:
  curl -k {address.url}/api/version
  the form of `deploy` in Prefect: choose kohub-backend={platform_files.VERSIONS[1]}
  export PLATFORM_OPS_CONFIG={layout.config}
  .venv/bin/platformctl status | health | plan | releases | logs nginx
  Keycloak: {address.url}/auth/    Uptime Kuma: https://monitor.localhost:{address.port}/

`make platform-stop` takes it away and keeps its data, `make clean` removes all of it.
"""


def stop(layout: Layout) -> None:
    """End Prefect and the containers; volumes, images and the folder stay."""
    if not layout.root.is_dir():
        click.echo("There is no platform here.")
        return
    with alone(layout, "make platform-stop"):
        ended = stop_processes(layout)
        platform_files.remove(everything=False)
    click.echo(f"Ended: {', '.join([*ended, 'the containers'])}. The data is kept: `make platform` goes on with it.")


def clean(layout: Layout) -> None:
    """Remove all that it made."""
    if not layout.root.is_dir():
        return
    with alone(layout, "make clean"):
        stop_processes(layout)
        platform_files.remove(everything=True)
    shutil.rmtree(layout.root)
    click.echo(f"Removed {layout.root}.")


def main() -> None:
    layout, progress = platform_layout(), Progress()
    verb = sys.argv[1] if len(sys.argv) > 1 else "up"
    try:
        if verb == "stop":
            stop(layout)
        elif verb == "clean":
            clean(layout)
        else:
            layout.make()
            layout.root.chmod(0o755)  # containers of other users read nginx's files in it
            with alone(layout, "make platform"), progress.never_silent():
                up(layout, progress)
    except PlatformOpsError as error:
        click.echo(f"\n{error}\n`make platform` again continues; `make clean` starts from nothing.", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        click.echo("\nInterrupted. `make platform` again continues, `make platform-stop` ends what runs.", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
