"""What the far side's `sh` is told: to run one program, to end it with us, to end what a dead run left.

Each script is one line (some login shells take no more) of POSIX sh with the tools of busybox. The
environment comes through stdin, line by line, so that a password is in no argv, and stdin then stays
open for as long as we live: when it ends, the program is ended too.

In a container PostgreSQL often is process 1 and so inherits every orphan. One that ends by a signal
it takes for a crashed backend of its own, and ends all sessions. So the program itself is what the
engine started, never a child of ours; what watches over it ignores signals and ends with 0; and what
process 1 has inherited is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.errors import ConfigurationError

_LIFELINE = (
    'while IFS= read -r line || exit 1; [ -n "$line" ]; do export "$line"; done; exec 3<&0; '
    # What the watcher starts (sleep) must not look like the program to the sweep.
    '(trap "" HUP INT QUIT PIPE TERM; unset PGAPPNAME PGPASSWORD; '
    'lives() { read -r pid name state parent rest </proc/self/stat; [ "$parent" = $$ ]; }; '
    "while read -r line <&3; do :; done; lives && kill -TERM $$ && kill -CONT $$; "
    "for try in 1 2 3; do lives || exit 0; sleep 1; done; lives && kill -KILL $$; exit 0) "
    '</dev/null >/dev/null 2>&1 & exec "$@" </dev/null 3<&-'
)
# One line for each variable first: busybox's grep sees nothing behind a NUL.
_SWEEP = (
    "exec 2>/dev/null; read -r first </proc/1/comm; "
    "for folder in /proc/[0-9]*; do [ -r $folder/environ ] || continue; all=yes; "
    'for mark in "$@"; do tr "\\0" "\\n" <$folder/environ | grep -xF -e "$mark" >/dev/null || { all=no; break; }; done; '
    "[ $all = yes ] || continue; for kind in net mnt; do "
    '[ "$(readlink $folder/ns/$kind)" = "$(readlink /proc/self/ns/$kind)" ] || all=no; done; '
    '[ "$first" = postgres ] && grep -x "PPid:.1" $folder/status >/dev/null && all=no; '
    "[ $all = yes ] && kill -KILL ${folder#/proc/} && echo ${folder#/proc/}; done; exit 0"
)
_PERL_RELAY = (
    "use IO::Socket::INET; use IO::Socket::UNIX; my ($h, $p) = @ARGV; $SIG{PIPE} = q(IGNORE); "
    "my $s = $h =~ m{^/} ? IO::Socket::UNIX->new(Peer => qq($h/.s.PGSQL.$p)) "
    ": IO::Socket::INET->new(PeerAddr => $h, PeerPort => $p); $s or exit 9; my ($b, $r); my $open = 1; "
    "sub all { my ($to) = @_; while (length $b) { my $n = syswrite $to, $b; defined $n or exit 0; "
    "substr($b, 0, $n) = q(); } } "
    "while (1) { $r = q(); vec($r, fileno($s), 1) = 1; vec($r, 0, 1) = 1 if $open; select($r, undef, undef, undef); "
    "if (vec($r, fileno($s), 1)) { sysread($s, $b, 65536) or exit 0; all(*STDOUT); } "
    "if ($open && vec($r, 0, 1)) { if (sysread(STDIN, $b, 65536)) { all($s); } else { $open = 0; shutdown $s, 1; } } }"
)
_RELAY = (
    'has() { command -v "$1" >/dev/null 2>&1; }; '
    f'if has perl; then exec perl -e \'{_PERL_RELAY}\' "$1" "$2"; fi; '
    'case $1 in /*) exit 8;; esac; if has nc; then exec nc "$1" "$2"; fi; exit 8'
)
NO_RELAY, NO_ANSWER = 8, 9
"""Exit codes of the relay: nothing there can relay; the database does not answer."""


def lifeline_argv(argv: Sequence[str]) -> tuple[str, ...]:
    """Run `argv` with the environment that stdin brings (see `environment_block`), no longer than stdin lasts."""
    return ("sh", "-c", _LIFELINE, "platform-ops", *argv)


def sweep_argv(marks: Mapping[str, str]) -> tuple[str, ...]:
    """Kill what has all of `marks` in its environment; the pids are printed."""
    return ("sh", "-c", _SWEEP, "platform-ops", *(f"{name}={value}" for name, value in marks.items()))


def relay_argv(host: str, port: int) -> tuple[str, ...]:
    """Join stdin and stdout to the database there."""
    return ("sh", "-c", _RELAY, "platform-ops", host, str(port))


def environment_block(env: Mapping[str, str]) -> bytes:
    """What `lifeline_argv` reads before it starts the program.

    Raises:
        ConfigurationError: a value with a line break.
    """
    for name, value in env.items():
        if "\n" in value or "\0" in value:
            raise ConfigurationError(
                f"The value for {name} holds a line break, which cannot be passed to another host; change it."
            )
    return "".join(f"{name}={value}\n" for name, value in env.items()).encode() + b"\n"
