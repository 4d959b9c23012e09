"""What is called, as data. Pure: each is tested against a literal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.compose.containers import ONE_OFF, PROJECT


@dataclass(frozen=True, slots=True)
class ComposeFiles:
    """A project, the files that describe it, and the file its variables come from."""

    project: str
    directory: str
    files: tuple[str, ...]
    env_file: str

    @property
    def argv(self) -> tuple[str, ...]:
        named = tuple(word for path in self.files for word in ("--file", path))
        where = ("--project-name", self.project, "--project-directory", self.directory, "--env-file", self.env_file)
        return ("docker", "compose", "--ansi", "never", *where, *named)


def config_argv(files: ComposeFiles) -> tuple[str, ...]:
    return (*files.argv, "config", "--format", "json")


def hashes_argv(files: ComposeFiles) -> tuple[str, ...]:
    return (*files.argv, "config", "--hash", "*")


def create_argv(files: ComposeFiles, services: Sequence[str], doubled: Sequence[str] = ()) -> tuple[str, ...]:
    """Make the containers that these services lack, two of those that are `doubled`, and start none.

    Never with `--no-deps`: compose leaves what a service depends on out of its hash then, and the next `up` by hand
    would make every such container anew.
    """
    twice = tuple(word for name in doubled for word in ("--scale", f"{name}=2"))
    return (*files.argv, "up", "--no-start", "--no-recreate", "--pull", "never", *twice, *services)


def migrate_argv(files: ComposeFiles, service: str, name: str, command: Sequence[str]) -> tuple[str, ...]:
    """One run of a service's image with another command, in a container that goes with it."""
    run = ("run", "--rm", "--no-deps", "--no-TTY", "--name", name, "--entrypoint", command[0])
    return (*files.argv, *run, service, *command[1:])


def list_argv(project: str) -> tuple[str, ...]:
    """Ids of a project's containers, but those of `docker compose run`."""
    labels = ("--filter", f"label={PROJECT}={project}", "--filter", f"label={ONE_OFF}=False")
    return ("docker", "ps", "--all", "--quiet", "--no-trunc", *labels)
