"""Which real parts this machine has. Where one is missing its tests are skipped; in CI they fail instead."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

_SYSTEM_FOLDERS = ("/usr/sbin", "/sbin")


def program(name: str) -> str:
    """The path of a program that a test needs."""
    found = shutil.which(name) or shutil.which(name, path=":".join(_SYSTEM_FOLDERS))
    return found or missing(f"{name} is not installed here")


def missing(reason: str) -> NoReturn:
    """Skip the test, or fail it where everything must be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}; .ci/parts installs what the tests need")
    pytest.skip(f"{reason} (.ci/parts installs it)")


def lines_about(canary: str) -> list[str]:
    """The command lines of all processes of this machine that hold `canary`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if canary in line:
                found.append(line)
    return found
