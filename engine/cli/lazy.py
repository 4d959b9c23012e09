"""A group whose commands are imported one at a time, when they are called: `--help` imports nothing heavy."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click


class LazyGroup(click.Group):
    """`words` are the commands with a sentence each; each is the `command` of a module of its name in `room`."""

    def __init__(self, *arguments: Any, words: Mapping[str, str], room: str, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.words, self.room = words, room

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.words)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.words:
            return None
        command = importlib.import_module(f"{self.room}.{cmd_name.replace('-', '_')}").command
        assert isinstance(command, click.Command)  # noqa: S101 - each module that is named has one
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self.words.items()))
