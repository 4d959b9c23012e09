"""Docker on a host, by its own programs there: so one that is reached over SSH needs no port of its engine open."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from engine.compose.commands import ComposeFiles, config_argv, hashes_argv, list_argv
from engine.compose.containers import Container, parse_containers
from engine.compose.model import Model, parse_model
from engine.errors import ConfigurationError, NotFound, OperationFailed
from engine.hosts.base import Completed, Host

QUICK_SECONDS, SLOW_SECONDS = 60.0, 900.0
_BY_COMPOSE = (
    "COMPOSE_FILE",
    "COMPOSE_PROJECT_NAME",
    "COMPOSE_PROFILES",
    "COMPOSE_ENV_FILES",
    "COMPOSE_REMOVE_ORPHANS",
)


@dataclass
class Docker:
    """`socket` is where the engine listens ('': the host's own). What is said never holds one of `hidden`."""

    host: Host
    socket: str = ""
    hidden: frozenset[str] = field(default_factory=frozenset)
    variables: frozenset[str] = field(default_factory=frozenset)
    """Names that the project's own files decide about, whatever a shell has under them."""

    def call(self, argv: Sequence[str], *, timeout: float = QUICK_SECONDS, stdin: bytes | None = None) -> bytes:
        """What a program says on stdout.

        Raises:
            OperationFailed: it ended with an error; the sentence has its last words.
        """
        done = self.tried(argv, timeout=timeout, stdin=stdin)
        if done.code != 0:
            raise self.refused(argv, done)
        return done.stdout

    def tried(self, argv: Sequence[str], *, timeout: float = QUICK_SECONDS, stdin: bytes | None = None) -> Completed:
        """The same, whatever it ends with. Variables of our own shell never change what a file means."""
        return self.host.run(argv, env=self.environment, timeout=timeout, stdin=stdin)

    @property
    def environment(self) -> dict[str, str | None]:
        """What docker is told beside its arguments."""
        env: dict[str, str | None] = dict.fromkeys((*_BY_COMPOSE, *self.variables))
        return env | {"DOCKER_HOST": self.socket} if self.socket else env

    def refused(self, argv: Sequence[str], done: Completed) -> OperationFailed:
        words = [word for word in argv[1:] if not word.startswith("-") and "/" not in word][:3]
        message = _last_words(self.masked(done.stderr))
        if "unknown command: docker compose" in message or "is not a docker command" in message:
            return OperationFailed(
                f"Docker{self.host.note} has no compose plugin; install Compose 2.26 or newer there."
            )
        if "Cannot connect to the Docker daemon" in message or "error during connect" in message:
            return OperationFailed(
                f"No Docker engine answers{self.host.note or ' on this machine'}; start it (docker version)."
            )
        return OperationFailed(f"{' '.join((argv[0], *words))}{self.host.note} ended with {done.code}: {message}")

    def masked(self, text: str) -> str:
        """A text without any of the secrets, longest first."""
        for secret in sorted(self.hidden, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text

    def model(self, files: ComposeFiles) -> Model:
        """What the files say.

        Raises:
            ConfigurationError: compose does not understand them.
        """
        done = self.tried(config_argv(files))
        if done.code != 0:
            error = self.refused(config_argv(files), done)
            raise error if "compose plugin" in str(error) else ConfigurationError(str(error))
        return parse_model(done.stdout)

    def hashes(self, files: ComposeFiles) -> dict[str, str]:
        """By service what compose would write to a container of it: equal means that nothing has to be made anew."""
        lines = self.call(hashes_argv(files)).decode().splitlines()
        pairs = (line.partition(" ") for line in lines if line.strip())
        return {service: found.strip() for service, _, found in pairs}

    def containers(self, project: str, network: str = "") -> tuple[Container, ...]:
        """A project's containers."""
        ids = self.call(list_argv(project)).decode().split()
        return self.inspected(ids, network) if ids else ()

    def inspected(self, ids: Sequence[str], network: str = "") -> tuple[Container, ...]:
        """These containers; one that has gone meanwhile is not among them."""
        done = self.tried(("docker", "inspect", "--type", "container", *ids))
        if done.code != 0 and "No such" not in done.stderr:  # an engine that is away prints an empty list too
            raise self.refused(("docker", "inspect"), done)
        return parse_containers(done.stdout, network)

    def container(self, name: str, network: str = "") -> Container | None:
        """The one of this name or id."""
        return next(iter(self.inspected([name], network)), None)

    def image_ids(self, references: Collection[str]) -> frozenset[str]:
        """The ids of those of these images that are here."""
        done = self.tried(("docker", "image", "inspect", "--format", "{{.Id}}", *references))
        if done.code != 0 and "No such" not in done.stderr:
            raise self.refused(("docker", "image", "inspect"), done)
        return frozenset(done.stdout.decode().split())

    def now(self) -> str:
        """The time on the host, as docker writes and reads it."""
        return self.call(("docker", "info", "--format", "{{.SystemTime}}")).decode().strip()

    def image(self, reference: str) -> ImageFacts:
        """What is known of an image that is here.

        Raises:
            NotFound: it is not.
        """
        done = self.tried(("docker", "image", "inspect", reference))
        if done.code != 0:
            raise NotFound(f"The image {reference} is not{self.host.note or ' on this machine'}.")
        (found,) = json.loads(done.stdout)
        labels = (found.get("Config") or {}).get("Labels") or {}
        digest = next((each.rpartition("@")[2] for each in found.get("RepoDigests") or ()), "")
        return ImageFacts(found["Id"], digest, labels)

    def logs(self, container: str, lines: int) -> str:
        """The last lines a container wrote, both streams."""
        done = self.tried(("docker", "logs", "--tail", str(lines), container))
        return self.masked(done.stdout.decode("utf8", "replace") + done.stderr)


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """An image's id, the digest its registry knows it by ('' where it was built here), and its labels."""

    id: str
    digest: str
    labels: dict[str, str]


def _last_words(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and "level=warning" not in line]
    return (lines[-1][-400:] if lines else "it said nothing").removeprefix("Error response from daemon: ")
