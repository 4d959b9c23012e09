"""platformctl completion"""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from engine.cli.outcome import Outcome

_SHELLS = ("bash", "zsh", "fish")


@click.command(
    help="""Print the script that completes commands, options, sources and stores in your shell.

    \b
    Example:
      eval "$(platformctl completion bash)"                                     in ~/.bashrc
      eval "$(platformctl completion zsh)"                                      in ~/.zshrc
      platformctl completion fish > ~/.config/fish/completions/platformctl.fish
    """
)
@click.argument("shell", type=click.Choice(_SHELLS), required=False, metavar="{bash|zsh|fish}")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_context
def command(ctx: click.Context, shell: str | None, as_json: bool) -> Outcome:
    if shell is None:
        raise click.UsageError(f"Name your shell: {', '.join(_SHELLS)}", ctx)
    program = ctx.find_root()
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101 - click.Choice lets only click's own shells pass
    script = found(program.command, {}, "platformctl", "_PLATFORMCTL_COMPLETE").source()
    return Outcome("completion", {"shell": shell, "script": script}, text=script)
