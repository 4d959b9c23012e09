"""A site whose every setting a test may spoil, and the real command run in it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.sources.postgres.scratch.instance import Instance
from tests.engine.cli.command import COMMAND, Answer, run
from tests.engine.cli.site import environment

_PROGRESS = re.compile(r"\d\d:\d\d:\d\d ")


@dataclass(frozen=True)
class FaultSite:
    """`server` and `stores` are the tables of platform-ops.toml; `variables` what the command gets besides."""

    folder: Path
    server: Mapping[str, Any]
    stores: Mapping[str, Mapping[str, Any]]
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.folder / "platform-ops.toml"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def write(self, server: Mapping[str, Any], store: Mapping[str, Any], host: Mapping[str, Any] | None = None) -> None:
        """Write the configuration with these settings changed; None leaves one out, a dot leads into a table.

        With a `host`, the server runs on it.
        """
        stores = {**self.stores, "nightly": {**self.stores["nightly"], **store}}
        tables: dict[str, Mapping[str, Any]] = {"servers.platform": {**self.server, **server}}
        if host:
            tables["servers.platform"] = {"runs_on": "elsewhere", **tables["servers.platform"]}
            tables["hosts.elsewhere"] = host
        tables |= {f"stores.{name}": settings for name, settings in stores.items()}
        text = "".join(_table(name, settings) for name, settings in tables.items())
        self.config.write_text(text)

    def run(self, *arguments: str, timeout: float = 60, open_files: int | None = None) -> Answer:
        return run(arguments, **self._place(), timeout=timeout, open_files=open_files)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """The command in the background; what it says goes nowhere, so that no full pipe holds it up."""
        return subprocess.Popen(
            [*COMMAND, *arguments], **self._place(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def _place(self) -> dict[str, Any]:
        return {"cwd": self.folder, "env": {**environment(), **self.variables}}


def fault_site(folder: Path, server: Instance, **variables: str) -> FaultSite:
    """A site with one server and one folder store; its databases are those the server has."""
    site = FaultSite(
        folder,
        {"host": str(server.socket), "port": server.port, "user": server.superuser, "store": "nightly"},
        {"nightly": {"kind": "folder", "path": str(folder / "store")}},
        variables,
    )
    site.write({}, {})
    return site


def sentences(answer: Answer) -> list[str]:
    """What the command said on stderr beside its progress and a restore's plan."""
    lines = [line for line in answer.stderr.splitlines() if not _PROGRESS.match(line)]
    return [line for line in lines if line.startswith("platformctl: ")]


def _table(name: str, settings: Mapping[str, Any]) -> str:
    lines = [f"{key} = {json.dumps(value)}\n" for key, value in settings.items() if value is not None]
    return f"[{name}]\n{''.join(lines)}\n"
