"""Make a server's data folder with initdb."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from engine.errors import OperationFailed
from engine.sources.postgres.programs.account import account, privileges

_SECONDS = 120
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
"""All that a server sees of the environment: the caller's may hold secrets and change how it works."""


def initialise(programs: Path, data: Path, options: list[str], password: str | None) -> None:
    """Run initdb for `data`, replacing what a killed run left there.

    The socket trusts whoever passes into its folder; TCP asks for a password (SCRAM), and
    `password` becomes the superuser's.

    Raises:
        OperationFailed: initdb failed; its last words are in the sentence.
    """
    shutil.rmtree(data, ignore_errors=True)
    command = [
        str(programs / "initdb"),
        "--auth-local=trust",
        "--auth-host=scram-sha-256",
        "--no-instructions",
    ]
    if password is None:
        _run([*command, *options, "-D", str(data)], data.parent)
        return
    secret = data.parent / "password"
    try:
        _write_secret(secret, password)
        _run([*command, *options, f"--pwfile={secret}", "-D", str(data)], data.parent)
    finally:
        secret.unlink(missing_ok=True)


def _write_secret(path: Path, password: str) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf8") as file:
        os.fchown(descriptor, *account())
        file.write(password + "\n")


def _run(command: list[str], folder: Path) -> None:
    """Not by a Host: it runs under the account of a server of this machine's own."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_SECONDS,
            check=False,
            **privileges(),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise OperationFailed(f"{command[0]} could not run for {folder}: {error}") from None
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        words = " | ".join(line for line in lines if "warning" not in line and "hint" not in line)
        raise OperationFailed(f"A PostgreSQL server could not be made in {folder}: {words[-1000:]}")
