"""platformctl deploy"""

from __future__ import annotations

from pathlib import Path

import click

from engine.cli.approval import approve_option
from engine.cli.invocation import Invocation, operation, platform_option
from engine.cli.outcome import Outcome
from engine.cli.release_options import carry_out
from engine.errors import ConfigurationError
from engine.releases.versions import versions_of


@click.command(
    help="""Bring a platform to the versions its files name, or to those that are named here.

    In this order: fetch images, plan, approval (prod), a verified backup, migrations, the rollout with its
    smoke test, the record. Whatever fails leaves the old release serving. Ends with 4 when another run is at it.

    \b
    Example:
      platformctl deploy
      platformctl deploy kohub-backend=1.4.2 kohub-frontend=1.4.2
      platformctl deploy --file versions.txt --approve 3f2a9c1b7d5e
    """,
)
@click.argument("versions", metavar="[SERVICE=VERSION]...", nargs=-1)
@click.option("--file", "path", type=click.Path(path_type=Path), help="A file with SERVICE=VERSION in each line.")
@platform_option
@approve_option
@operation
def command(
    invocation: Invocation, versions: tuple[str, ...], path: Path | None, platform: str | None, approve: str | None
) -> Outcome:
    words = [*_words(path), *versions]
    return carry_out(invocation, platform, "deploy", versions_of(words), approve)


def _words(path: Path | None) -> list[str]:
    if path is None:
        return []
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read ({type(error).__name__}); give a text file.") from None
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
