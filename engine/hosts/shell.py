"""What the far side's `sh` is told: to run one program, to end it with us, to end what a dead run left.

Each script is one line (some login shells take no more) of POSIX sh with the tools of busybox. The
environment comes through stdin, line by line, so that a password is in no argv, and stdin then stays
open for as long as we live: when it ends, the program is ended too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.errors import ConfigurationError

_LIFELINE = (
    'while IFS= read -r line && [ -n "$line" ]; do export "$line"; done; exec 3<&0; '
    '"$@" </dev/null 3<&- & child=$!; '
    "(while read -r line <&3; do :; done; kill -TERM $child; sleep 2; kill -KILL $child) "
    "</dev/null >/dev/null 2>&1 & watcher=$!; "
    "wait $child; code=$?; kill $watcher 2>/dev/null; exit $code"
)
# grep -l first: a process is looked into only when its environment has the first mark.
_SWEEP = (
    'first=$1; for file in $(grep -lF -e "$first" /proc/[0-9]*/environ 2>/dev/null); do '
    "folder=${file%/environ}; all=yes; "
    'for mark in "$@"; do tr "\\0" "\\n" <"$file" 2>/dev/null | grep -qxF -e "$mark" || all=no; done; '
    "for kind in net mnt; do "
    '[ "$(readlink "$folder/ns/$kind")" = "$(readlink "/proc/self/ns/$kind")" ] || all=no; done; '
    'if [ $all = yes ] && kill -KILL "${folder#/proc/}" 2>/dev/null; then echo "${folder#/proc/}"; fi; done; exit 0'
)
_PERL_RELAY = (
    "use IO::Socket::INET; use IO::Socket::UNIX; my ($h, $p) = @ARGV; "
    'my $s = $h =~ m{^/} ? IO::Socket::UNIX->new(Peer => "$h/.s.PGSQL.$p") '
    ": IO::Socket::INET->new(PeerAddr => $h, PeerPort => $p); $s or exit 9; "
    "sub all { my ($to, $b) = @_; while (length $b) { my $n = syswrite $to, $b; defined $n or exit 0; "
    'substr($b, 0, $n) = ""; } } '
    "my $f = fork; if (!$f) { my $b; while (sysread STDIN, $b, 65536) { all($s, $b); } shutdown $s, 1; exit 0; } "
    "my $b; while (sysread $s, $b, 65536) { all(*STDOUT, $b); } kill 9, $f;"
)
_BASH_RELAY = 'exec 3<>"/dev/tcp/$0/$1" || exit 9; { cat <&3; kill $$; } & cat >&3 2>/dev/null; kill $! 2>/dev/null; exit 0'
_RELAY = (
    'has() { command -v "$1" >/dev/null 2>&1; }; case $1 in /*) tcp=no;; *) tcp=yes;; esac; '
    f'if has perl; then exec perl -e \'{_PERL_RELAY}\' "$1" "$2"; '
    'elif [ $tcp = yes ] && has nc; then exec nc "$1" "$2"; '
    f'elif [ $tcp = yes ] && has bash; then exec bash -c \'{_BASH_RELAY}\' "$1" "$2"; '
    "else exit 8; fi"
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
