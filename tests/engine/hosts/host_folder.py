"""The same host for every test: this machine, containers of two engines, a machine over SSH."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.hosts.base import Host
from engine.hosts.opening import open_host
from engine.hosts.settings import HostSettings
from tests.engine.hosts.away import ROOT

_DO = """
import sys
from engine.hosts.opening import open_host
from engine.hosts.settings import HostSettings
host = open_host(HostSettings.model_validate_json(sys.argv[1]))
"""


@dataclass(frozen=True)
class HostFolder:
    """A host, and a folder there that is empty."""

    settings: HostSettings
    folder: str

    @property
    def host(self) -> Host:
        return open_host(self.settings)

    def sh(self, script: str, *words: str) -> str:
        """What a shell there says."""
        done = self.host.run(("sh", "-c", script, "x", *words), env={}, timeout=60)
        assert done.code == 0, done
        return done.stdout.decode()

    def names(self) -> list[str]:
        """All that is in the folder."""
        script = 'cd "$1" && for name in * .[!.]*; do if [ -e "$name" ]; then printf "%s\\n" "$name"; fi; done'
        return sorted(self.sh(script, self.folder).splitlines())

    @contextmanager
    def process(self, code: str, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """Another process of ours that does `code` with `host`; `sys.argv[2:]` are `words`."""
        argv = [sys.executable, "-c", _DO + code, self.settings.model_dump_json(), *words]
        with subprocess.Popen(argv, cwd=ROOT) as process:
            try:
                yield process
            finally:
                process.kill()


def word() -> str:
    """One that is nowhere else on this machine."""
    return f"canary{secrets.token_hex(8)}"


def folder_here(base: Path) -> str:
    folder = base / "there"
    folder.mkdir()
    return str(folder)
