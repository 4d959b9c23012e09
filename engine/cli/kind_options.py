"""An option for each kind of thing that has names: `--database NAME`. A new kind brings its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any

import click

from engine.cli.completing import names_in_sets
from engine.errors import ConfigurationError
from engine.sources import registry
from engine.sources.kind import Kind

Wanted = tuple[str, str]
"""A kind and a name."""


class OneOfAKind(click.Command):
    """A command that may be told one thing of a source."""

    multiple = False

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*self.params, *_options(self.multiple), *([own] if (own := self.get_help_option(ctx)) else [])]


class SomeOfAKind(OneOfAKind):
    """A command that may be told several things of a source."""

    multiple = True


def of_kinds(function: Callable[..., Any]) -> Callable[..., Any]:
    """Call `function` with what was named as `wanted`: pairs of a kind and a name."""

    @wraps(function)
    def run(*arguments: Any, **choices: Any) -> Any:
        wanted = [(kind.name, name) for kind in _named() for name in _several(choices.pop(_parameter(kind), None))]
        return function(*arguments, wanted=wanted, **choices)

    return run


def one_of(wanted: Sequence[Wanted]) -> Wanted | None:
    """The one thing that was named; None: none was.

    Raises:
        ConfigurationError: several were.
    """
    if len(wanted) > 1:
        raise ConfigurationError(
            "Name one thing only: " + " or ".join(called(kind, name) for kind, name in wanted) + "."
        )
    return wanted[0] if wanted else None


def called(kind: str, name: str) -> str:
    """What people call a thing: `database 'kohub'`."""
    return f"{registry.kind_named(kind).noun} {name!r}"


def _options(multiple: bool) -> Iterator[click.Option]:
    for kind in _named():
        several = " (repeatable)" if multiple else ""
        yield click.Option(
            [f"--{kind.noun}", _parameter(kind)],
            metavar="NAME",
            multiple=multiple,
            help=f"Only this {kind.noun}{several}.",
            shell_complete=names_in_sets(kind.name),
        )


def _named() -> Iterator[Kind]:
    return (kind for kind in registry.kinds() if kind.named)


def _parameter(kind: Kind) -> str:
    return f"named_{kind.name}"


def _several(value: Any) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else (value,) if value is not None else ()
