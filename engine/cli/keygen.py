"""platformctl keygen"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import click

from engine.cli.invocation import Invocation, operation
from engine.cli.outcome import Outcome
from engine.errors import ConfigurationError
from engine.words.report import Report

DEFAULT = "platform-ops-identity.txt"


@click.command(
    help="""Make an age key pair: backups are encrypted to its public half, only the private one opens them.

    The private key is written to a file that only you can read; a file that exists is never
    overwritten. The public key is printed with what to write into platform-ops.toml.

    \b
    Example:
      platformctl keygen --output /etc/platform-ops/identity.txt
    """
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=DEFAULT,
    show_default=True,
    help="Where the private key goes.",
)
@operation
def command(invocation: Invocation, output: Path) -> Outcome:
    from pyrage import x25519

    identity = x25519.Identity.generate()
    public = str(identity.to_public())
    path = output.absolute()
    _write(path, f"# made: {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n# public key: {public}\n{identity}\n")
    return Outcome("keygen", {"public_key": public, "identity_file": str(path)}, _report(public, path))


def _write(path: Path, text: str) -> None:
    """The file is there whole or not at all, and it was ours from its first byte."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        if path.is_dir():
            raise ConfigurationError(
                f"{path} is a folder; give a file in it with --output, such as {path / DEFAULT}."
            ) from None
        raise ConfigurationError(
            f"{path} exists and is not overwritten: it may be the only key to your backups; give another --output."
        ) from None
    except FileNotFoundError:
        raise ConfigurationError(
            f"{path} cannot be written: there is no folder {path.parent}; make it first (mkdir -p), or give another "
            "--output."
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}; give another --output.") from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _report(public: str, path: Path) -> Report:
    return Report(
        title="A new key pair",
        sentence=f"The private key is in {path}; without it no encrypted backup can ever be read.",
        facts=(("public key", public), ("private key", str(path))),
        next_steps=(
            f'Public: write recipients = ["{public}"] under [stores.<name>] in platform-ops.toml, on every host '
            "that backs up. It is no secret.",
            "Private: copy it now to a place that survives this machine (a password manager, paper in a safe). "
            "Without the copy, losing this file is losing every backup.",
            f'Only on the host that drills and restores, also write identity = "file:{path}"; on hosts that only '
            "back up, remove the file.",
        ),
    )
