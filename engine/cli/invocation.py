"""What every command stands on: the common options, the configuration, and the progress line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.cli.completing import names_of
from engine.cli.outcome import Outcome
from engine.cli.progress_line import ProgressLine
from engine.errors import ConfigurationError
from engine.repository.repository import Repository, open_repository
from engine.sources import registry

if TYPE_CHECKING:
    from engine.config.settings import Settings
    from engine.kubernetes.connection import Connection
    from engine.releases.platform import Platform
    from engine.sources.base import Source


@dataclass(frozen=True)
class Invocation:
    """One call of a command: what the common options say, and what they lead to."""

    config: Path | None
    as_json: bool
    progress: ProgressLine

    @cached_property
    def settings(self) -> Settings:
        """The configuration, read when it is first needed."""
        return registry.load_settings(self.config)

    def source_name(self, name: str | None) -> str:
        """The named source, or the only one.

        Raises:
            ConfigurationError: there is none of this name, or several and none was named.
        """
        names = list(self.settings.sources)
        if name is None and len(names) > 1:
            raise ConfigurationError(
                f"The configuration has {len(names)} sources: {', '.join(names)}; name one with --source."
            )
        chosen = name if name is not None else names[0]
        self.settings.source(chosen)
        return chosen

    def source(self, name: str | None) -> Source:
        """The same, opened."""
        return registry.open_source(self.settings, self.source_name(name))

    def repository(self, store: str) -> Repository:
        """The named store, opened.

        Raises:
            ConfigurationError: there is none of this name, or it cannot be opened.
        """
        return open_repository(store, self.settings.store(store))

    def platform(self, name: str | None) -> Platform:
        """The named platform, or the only one, opened.

        Raises:
            ConfigurationError: there is none of this name, or several and none was named.
        """
        names = list(self.settings.platforms)
        if not names:
            raise ConfigurationError("The configuration has no platform; add [platforms.NAME] (docs/deploy.md).")
        if name is None and len(names) > 1:
            raise ConfigurationError(
                f"The configuration has {len(names)} platforms: {', '.join(names)}; name one with --platform."
            )
        chosen = name if name is not None else names[0]
        from engine.releases.platform import open_platform  # what other commands do not need is not loaded

        return open_platform(chosen, self.settings.platform(chosen), self.settings.hosts)

    def cluster(self, name: str | None) -> Connection:
        """The named application in a cluster, or the only one.

        Raises:
            ConfigurationError: there is none of this name, or several and none was named.
        """
        names = list(self.settings.clusters)
        if not names:
            raise ConfigurationError("The configuration has no cluster; add [clusters.NAME] (docs/kubernetes.md).")
        if name is None and len(names) > 1:
            raise ConfigurationError(
                f"The configuration has {len(names)} clusters: {', '.join(names)}; name one with --cluster."
            )
        chosen = name if name is not None else names[0]
        from engine.kubernetes.connection import Connection

        return Connection(chosen, self.settings.cluster(chosen))

    def stores(self, store: str | None, source: str | None = None) -> tuple[str, ...]:
        """The named store, else those the source writes to, else all of them.

        Raises:
            ConfigurationError: there is no such source.
        """
        if store is not None:
            return (store,)
        return tuple(self.settings.stores) if source is None else self.settings.repositories_of(source)


def operation(function: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """Give a command the common options; `function` is called with an `Invocation` and its own options."""

    @click.option("--config", type=click.Path(path_type=Path), help="The configuration file to read.")
    @click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
    @click.option("--debug", is_flag=True, help="Show where an unexpected error came from.")
    @wraps(function)
    def run(config: Path | None, as_json: bool, debug: bool, **choices: Any) -> Outcome:
        shared = click.get_current_context().obj or {}
        with ProgressLine() as progress:
            return function(
                Invocation(config or shared.get("config"), as_json or shared.get("as_json", False), progress),
                **choices,
            )

    return run


def source_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--source`, completed from the configuration. `--server` is what it was called while there were only servers."""
    return click.option("--source", "--server", "source", metavar="NAME", help=text, shell_complete=names_of("sources"))


def platform_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--platform`, completed from the configuration."""
    text = "Which platform; may be left out when there is one only."
    return click.option("--platform", metavar="NAME", help=text, shell_complete=names_of("platforms"))(function)


def cluster_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--cluster`, completed from the configuration."""
    text = "Which application in which cluster; may be left out when there is one only."
    return click.option("--cluster", metavar="NAME", help=text, shell_complete=names_of("clusters"))(function)


def store_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--store`, completed from the configuration."""
    return click.option("--store", metavar="NAME", help=text, shell_complete=names_of("stores"))
