"""A platform's folder on its host: what the operator keeps there, and `run/`, which is ours."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.compose.commands import ComposeFiles
from engine.config.platforms import PlatformSettings
from engine.errors import ConfigurationError, OperationFailed
from engine.hosts.base import Host

BASE = "compose.platform.yml"
IMAGES = "images.env"
ENV = ".env"
_SECONDS = 30.0
_LARGEST = 8 << 20
_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}")


@dataclass(frozen=True)
class Site:
    """Reads and writes on the host. Paths are below the platform's folder."""

    host: Host
    settings: PlatformSettings

    @property
    def directory(self) -> str:
        return self.settings.directory

    @property
    def overlay(self) -> str:
        return f"compose.{self.settings.environment}.yml"

    @property
    def environment_file(self) -> str:
        return f".env.{self.settings.environment}"

    def path(self, *parts: str) -> str:
        return "/".join((self.directory, *parts))

    def release(self, release: str, *parts: str) -> str:
        """Below a release's own folder."""
        if not _ID.fullmatch(release):
            raise ConfigurationError(f"{release[:40]!r} is no release; `platformctl releases` lists them.")
        return "/".join(("run", "releases", release, *parts))

    def files(self, release: str) -> ComposeFiles:
        """What compose is called with for a release."""
        folder = self.path(self.release(release))
        names = (f"{folder}/{BASE}", f"{folder}/{self.overlay}")
        return ComposeFiles(self.settings.project, self.directory, names, f"{folder}/{ENV}")

    def run(self, argv: Sequence[str]) -> bytes:
        """A small program there.

        Raises:
            OperationFailed: it ended with an error.
        """
        done = self.host.run(argv, env={}, timeout=_SECONDS)
        if done.code != 0:
            why = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise OperationFailed(f"{argv[0]}{self.host.note} ended with {done.code}: {why[-300:]}")
        return done.stdout

    def read(self, path: str) -> bytes | None:
        """A file; None where there is none."""
        done = self.host.run(("cat", self.path(path)), env={}, timeout=_SECONDS)
        if done.code == 0:
            return done.stdout
        if "No such file" in done.stderr:
            return None
        raise OperationFailed(f"{self.path(path)}{self.host.note} cannot be read: {done.stderr.strip()[-200:]}")

    def must_read(self, path: str) -> bytes:
        """A file that has to be there.

        Raises:
            ConfigurationError: it is not.
        """
        found = self.read(path)
        if found is None:
            raise ConfigurationError(
                f"There is no {self.path(path)}{self.host.note}; docs/deploy.md says what belongs there."
            )
        return found

    def tree(self, folder: str) -> dict[str, bytes]:
        """Every file below a folder, by its path in it; they are small."""
        packed = self.run(("tar", "--create", "--dereference", f"--directory={self.path(folder)}", "."))
        if len(packed) > _LARGEST:
            raise ConfigurationError(
                f"{self.path(folder)} holds more than {_LARGEST >> 20} MB; it is for configuration only."
            )
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            members = [member for member in archive if member.isfile()]
            found = {member.name.removeprefix("./"): archive.extractfile(member) for member in members}
            return {name: file.read() for name, file in sorted(found.items()) if file is not None}

    def write(self, path: str, data: bytes, *, mode: int = 0o600) -> None:
        """Place a file whole."""
        self.host.put(self.path(path), data, mode=mode)

    def write_tree(self, folder: str, files: Mapping[str, bytes]) -> None:
        """Place files that everybody may read (a container of another user does)."""
        folders = {folder} | {f"{folder}/{name.rpartition('/')[0]}".rstrip("/") for name in files}
        self.make_folders(*sorted(folders), mode="0755")
        for name, data in files.items():
            self.write(f"{folder}/{name}", data, mode=0o644)

    def make_folders(self, *folders: str, mode: str = "0700") -> None:
        self.run(("mkdir", "--parents", f"--mode={mode}", "--", *(self.path(folder) for folder in folders)))

    def link(self, path: str, target: str) -> None:
        """Let a name mean another file from now on, in one step."""
        self.run(("ln", "--symbolic", "--force", "--no-dereference", "--", target, self.path(f"{path}.new")))
        self.run(("mv", "--no-target-directory", "--force", "--", self.path(f"{path}.new"), self.path(path)))

    def linked(self, path: str) -> str:
        """What a name means; '' where it is none."""
        done = self.host.run(("readlink", self.path(path)), env={}, timeout=_SECONDS)
        return done.stdout.decode().strip() if done.code == 0 else ""

    def names(self, folder: str) -> tuple[str, ...]:
        """What is in a folder; nothing where there is none."""
        done = self.host.run(("ls", "-A", self.path(folder)), env={}, timeout=_SECONDS)
        return tuple(done.stdout.decode().split("\n")[:-1]) if done.code == 0 else ()

    def releases(self) -> tuple[str, ...]:
        """Ids of the releases whose folders are here, oldest first."""
        return tuple(sorted(name for name in self.names("run/releases") if _ID.fullmatch(name)))

    def remove(self, *paths: str) -> None:
        """Exact paths of our own, with what is in them."""
        if astray := [path for path in paths if not path.startswith("run/") or ".." in path]:
            raise OperationFailed(f"{astray[0]} is not ours to remove.")
        self.run(("rm", "--recursive", "--force", "--", *(self.path(path) for path in paths)))
