"""What the far side's `sh` is told so that a program runs no longer than we live, and knows its input's true end.

The environment comes through stdin, line by line, so that a password is in no argv; stdin then stays open for as long
as we live: when it ends, the program is ended too. What watches over it is started before that environment is
exported, so a sweep never takes it for the program.

A program's input cannot come that way too: behind bytes that a stalled program does not take nobody would see that
the channel has ended. So the bytes come by a channel of their own, as they are, into a pipe that the watcher holds
open as well. A channel that breaks therefore ends no input; only a line on the first channel does, which we send
when every byte has been taken. A watcher that gets no such line ends the program before it lets go of the pipe.

Each script is one line (some login shells take no more) of POSIX sh with the tools of busybox, and needs /proc.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.errors import ConfigurationError

_READ = 'set -- "" "$@"; while IFS= read -r line || exit 1; [ -n "$line" ]; do set -- "$line" "$@"; done; exec 3<&0; '
# A pipe of this shell: `sleep` is given one by the shell, and is ended once both of its ends are open here.
_PIPE = (
    "exec </dev/null; : | sleep 60 & while [ ! -p /proc/$!/fd/0 ]; do kill -0 $! || exit 1; done; "
    "exec 4</proc/$!/fd/0 5>/proc/$!/fd/0; { kill -PIPE $!; wait $!; } 2>/dev/null; "
)
_WATCH = (
    '(trap "" HUP INT QUIT PIPE TERM; %s'
    'lives() { read -r pid name state parent rest </proc/self/stat; [ "$parent" = $$ ]; }; '
    "while read -r line <&3; do %s; done; lives && kill -TERM $$ && kill -CONT $$; "
    "for try in 1 2 3; do lives || exit 0; sleep 1; done; lives && kill -KILL $$; exit 0) "
    "</dev/null >/dev/null 2>&1 & "
)
_REPORT = 'echo "$! $(readlink /proc/$$/fd/5)"; exec 5>&-; '
_EXPORT = 'while [ -n "$1" ]; do case $1 in *=*) export "$1";; *) unset "$1";; esac; shift; done; shift; '
_LIFELINE = _READ + _WATCH % ("", ":") + _EXPORT + 'exec "$@" </dev/null 3<&-'
_WITH_INPUT = (
    _READ
    + _PIPE
    + _WATCH % ("exec 4<&-; ", 'exec 5>&-; [ "$line" = end ] || exit 0')
    + _REPORT
    + _EXPORT
    + 'exec "$@" <&4 3<&- 4<&-'
)
_FEED = (
    'trap "" PIPE; exec 2>/dev/null; [ "$(readlink "/proc/$1/fd/5")" = "$2" ] || exit 7; exec 5>"/proc/$1/fd/5"; '
    # Whether nobody reads any more, or cat had a trouble of its own: then the program, which is ended, gets an x.
    "cat >&5 && echo taken && exit 0; printf x >&5 && exit 8; exit 7"
)
TAKEN, UNWANTED = b"taken\n", 7
"""What `feed_argv` says when the program's pipe took all bytes, so that a channel which broke has not brought its end;
and its exit code when nobody reads the pipe any more."""
END, END_AND_LEAVE = b"end\n", b"leave\n"
"""What the lifeline of a program with input is told when its input is whole; and that it need not outlive that."""


def lifeline_argv(argv: Sequence[str], *, stdin: bool = False) -> tuple[str, ...]:
    """Run `argv` with the environment that stdin brings (see `environment_block`), no longer than stdin lasts.

    With `stdin`, the first line it writes names the pipe that is the program's input: two words for `feed_argv`.
    """
    return ("sh", "-c", _WITH_INPUT if stdin else _LIFELINE, "platform-ops", *argv)


def feed_argv(watcher: str, pipe: str) -> tuple[str, ...]:
    """Pass stdin on to the input of a program of `lifeline_argv`."""
    return ("sh", "-c", _FEED, "platform-ops", watcher, pipe)


def environment_block(env: Mapping[str, str | None]) -> bytes:
    """What `lifeline_argv` reads before it starts the program; of the far side's own variables it sees none that is None.

    Raises:
        ConfigurationError: a value with a line break.
    """
    for name, value in env.items():
        if value is not None and ("\n" in value or "\0" in value):
            raise ConfigurationError(
                f"The value for {name} holds a line break, which cannot be passed to another host; change it."
            )
    lines = (name if value is None else f"{name}={value}" for name, value in env.items())
    return "".join(f"{line}\n" for line in lines).encode() + b"\n"
