"""What the far side's `sh` is told: to end what a dead run left, and to relay a connection.

Each script is one line (some login shells take no more) of POSIX sh with the tools of busybox; what runs a program is
in `engine.hosts.lifeline`.

In a container a server often is process 1 and so inherits every orphan. PostgreSQL takes one that ends by a signal
for a crashed child of its own, and ends all sessions. So the program itself is what the engine started, never a child
of ours; what watches over it ignores signals and ends with 0; and what such a process 1 has inherited is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.hosts.endpoints import Endpoint, Tcp

# One line for each variable first: busybox's grep sees nothing behind a NUL.
_SWEEP = (
    "exec 2>/dev/null; read -r first </proc/1/comm; sparing=$1; shift; "
    "for folder in /proc/[0-9]*; do [ -r $folder/environ ] || continue; all=yes; "
    'for mark in "$@"; do tr "\\0" "\\n" <$folder/environ | grep -xF -e "$mark" >/dev/null || { all=no; break; }; done; '
    "[ $all = yes ] || continue; for kind in net mnt; do "
    '[ "$(readlink $folder/ns/$kind)" = "$(readlink /proc/self/ns/$kind)" ] || all=no; done; '
    '[ "$first" = "$sparing" ] && grep -x "PPid:.1" $folder/status >/dev/null && all=no; '
    "[ $all = yes ] && kill -KILL ${folder#/proc/} && echo ${folder#/proc/}; done; exit 0"
)
_PERL_RELAY = (
    "use IO::Socket::INET; use IO::Socket::UNIX; my ($h, $p) = @ARGV; $SIG{PIPE} = q(IGNORE); "
    "my $s = $h =~ m{^/} ? IO::Socket::UNIX->new(Peer => $h) "
    ": IO::Socket::INET->new(PeerAddr => $h, PeerPort => $p); $s or exit 9; my ($b, $r); my $open = 1; "
    "sub all { my ($to) = @_; while (length $b) { my $n = syswrite $to, $b; defined $n or exit 0; "
    "substr($b, 0, $n) = q(); } } "
    "while (1) { $r = q(); vec($r, fileno($s), 1) = 1; vec($r, 0, 1) = 1 if $open; select($r, undef, undef, undef); "
    "if (vec($r, fileno($s), 1)) { sysread($s, $b, 65536) or exit 0; all(*STDOUT); } "
    "if ($open && vec($r, 0, 1)) { if (sysread(STDIN, $b, 65536)) { all($s); } else { $open = 0; shutdown $s, 1; } } }"
)
_RELAY = (
    'has() { command -v "$1" >/dev/null 2>&1; }; '
    f"if has perl; then exec perl -e '{_PERL_RELAY}' \"$@\"; fi; "
    'case $1 in /*) exit 8;; esac; if has nc; then exec nc "$1" "$2"; fi; '
    # Keycloak's own image has nothing but bash: what comes from there ends with the connection.
    'has bash || exit 8; exec bash -c \'exec 3<>/dev/tcp/$0/$1 4<&0 || exit 9; cat <&4 >&3 & exec cat <&3\' "$1" "$2"'
)
NO_RELAY, NO_ANSWER = 8, 9
"""Exit codes of the relay: nothing there can relay; nothing answers."""


def sweep_argv(marks: Mapping[str, str], sparing: str = "") -> tuple[str, ...]:
    """Kill what has all of `marks` in its environment; the pids are printed.

    Where process 1 is `sparing`, what it has inherited is left alone.
    """
    return ("sh", "-c", _SWEEP, "platform-ops", sparing, *(f"{name}={value}" for name, value in marks.items()))


def relay_argv(endpoint: Endpoint) -> tuple[str, ...]:
    """Join stdin and stdout to what listens there."""
    address = (endpoint.host, str(endpoint.port)) if isinstance(endpoint, Tcp) else (endpoint.path,)
    return ("sh", "-c", _RELAY, "platform-ops", *address)
