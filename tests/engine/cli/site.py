"""A small site for the command's tests: a configuration, a store, and the real command beside them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from engine.sources.postgres.scratch.instance import Instance
from tests.engine.cli.command import Answer, run


@dataclass(frozen=True)
class Site:
    """A folder with platform-ops.toml and a store; the server's name is `platform`, the store's `nightly`."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "platform-ops.toml"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def run(self, *arguments: str) -> Answer:
        return run(arguments, self.folder, environment(), timeout=120)

    def files(self) -> set[str]:
        """Every file of a set in the store: neither verdicts nor leases."""
        found = (path.relative_to(self.store) for path in self.store.rglob("*") if path.is_file())
        return {str(path) for path in found if not {"verdicts", "leases"}.intersection(path.parts)}


def completed(site: Site, *words: str) -> set[str]:
    """What bash offers after these words."""
    requested = {"_PLATFORMCTL_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(["platformctl", *words])}
    env = environment() | requested | {"COMP_CWORD": str(len(words))}
    done = run((), site.folder, env, timeout=120)
    assert done.code == 0, done.stderr
    return {line.partition(",")[2] for line in done.stdout.splitlines()}


def environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "PLATFORM_OPS"))}
    return {**kept, "LC_ALL": "C.UTF-8", "TZ": "Asia/Seoul"}


def new_site(folder: Path, server: Instance, server_lines: str = "", store_lines: str = "") -> Site:
    """Write the configuration of a site for a server that is reached by its socket."""
    site = Site(folder)
    site.config.write_text(
        f'[servers.platform]\nhost = "{server.socket}"\nport = {server.port}\nuser = "{server.superuser}"\n'
        f'store = "nightly"\n{server_lines}\n[stores.nightly]\nkind = "folder"\npath = "{site.store}"\n{store_lines}\n'
    )
    return site
