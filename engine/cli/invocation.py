"""What every command stands on: the common options, the configuration, and the progress line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from engine.cli.outcome import Outcome
from engine.cli.progress_line import ProgressLine
from engine.config.file import load, server_settings, store_settings
from engine.config.settings import Settings
from engine.errors import ConfigurationError, PlatformOpsError
from engine.sets.target import Target, open_target

if TYPE_CHECKING:
    from engine.postgres.server import Server


@dataclass(frozen=True)
class Invocation:
    """One call of a command: what the common options say, and what they lead to."""

    config: Path | None
    as_json: bool
    progress: ProgressLine

    @cached_property
    def settings(self) -> Settings:
        """The configuration, read when it is first needed."""
        return load(self.config)

    def server(self, name: str | None) -> Server:
        """The named server, or the only one.

        Raises:
            ConfigurationError: there is none of this name, or several and none was named.
        """
        from engine.postgres.server import Server  # psycopg takes long to import, and `list` needs none

        names = list(self.settings.servers)
        if name is None and len(names) > 1:
            raise ConfigurationError(
                f"The configuration has {len(names)} servers: {', '.join(names)}; name one with --server."
            )
        chosen = name if name is not None else names[0]
        return Server(chosen, server_settings(self.settings, chosen))

    def target(self, store: str) -> Target:
        """The named store, opened.

        Raises:
            ConfigurationError: there is none of this name, or it cannot be opened.
        """
        return open_target(store, store_settings(self.settings, store))

    def stores(self, store: str | None, server: str | None = None) -> tuple[str, ...]:
        """The named store, else those the server writes to, else all of them.

        Raises:
            ConfigurationError: there is no such server.
        """
        if store is not None:
            return (store,)
        if server is None:
            return tuple(self.settings.stores)
        known = server_settings(self.settings, server)
        return tuple(dict.fromkeys((known.store, *known.copies)))


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


def server_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--server`, completed from the configuration."""
    return click.option("--server", metavar="NAME", help=text, shell_complete=_completed("servers"))


def store_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--store`, completed from the configuration."""
    return click.option("--store", metavar="NAME", help=text, shell_complete=_completed("stores"))


def _completed(
    what: str,
) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    def complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        shared = ctx.obj or {}
        try:
            names = getattr(load(ctx.params.get("config") or shared.get("config")), what)
        except PlatformOpsError:
            return []  # completion is no place for an error
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]

    return complete
