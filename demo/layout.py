"""Where everything the demo makes lies: one folder, `.demo/`, beside the project's own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
SERVER = "platform"
STORE = "nightly"
POOLS = ("backup", "restore")
PLATFORM = PROJECT / ".platform"
"""The folder of `make platform`."""


def platform_layout() -> Layout:
    """Where `make platform` keeps what it makes; a worker for deploys is among those it starts."""
    return Layout(PLATFORM, ("deploy", *POOLS))


@dataclass(frozen=True, slots=True)
class Layout:
    """The demo's folder and the names in it."""

    root: Path = PROJECT / ".demo"
    pools: tuple[str, ...] = POOLS

    @property
    def state(self) -> Path:
        return self.root / "state.json"

    @property
    def config(self) -> Path:
        return self.root / "platform-ops.toml"

    @property
    def store(self) -> Path:
        return self.root / "store"

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def prefect(self) -> Path:
        return self.root / "prefect"

    @property
    def temporary(self) -> Path:
        return self.root / "tmp"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def password(self) -> Path:
        return self.root / "secrets" / "postgres-password"

    @property
    def identity(self) -> Path:
        return self.root / "secrets" / "identity.txt"

    @property
    def platform(self) -> Path:
        """The compose platform's own folder (`make platform` only)."""
        return self.root / "kecp"

    def make(self) -> None:
        """Make the folders. All are private; root's are passed through by the account PostgreSQL gets."""
        self.root.mkdir(exist_ok=True)
        self.root.chmod(0o711 if os.geteuid() == 0 else 0o700)
        for folder in (self.store, self.prefect, self.temporary, self.logs, self.password.parent):
            folder.mkdir(exist_ok=True, mode=0o700)


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user can read; it is whole or it is not there."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf8") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    part.rename(path)
