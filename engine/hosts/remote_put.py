"""A file placed at the far end (see `engine.hosts.placing`): by the shell there, its bytes as its input."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Iterator

from engine.errors import OperationFailed, TransientFailure
from engine.hosts.base import LOST, Data
from engine.hosts.channel import CHUNK, Launcher
from engine.hosts.placing import PREFIX, checked, not_placed, pieces
from engine.hosts.remote import RemoteProgram, start

_STALL_SECONDS = 600.0
# The names are those of `engine.hosts.identity`, made of what the far side's shell is and sees.
_NAMES = (
    'since() { read -r stat <"/proc/$1/stat" && set -- ${stat##*) } && [ "$1" != Z ] && echo "$boot.${20}"; } 2>/dev/null; '
    "read -r boot </proc/sys/kernel/random/boot_id; boot=${boot%%-*}; "
    'host=$(printf "%s\\0%s" "$(uname -n)" "$(readlink /proc/self/ns/pid)" | sha256sum); host=${host%"${host#????????}"}; '
)
# Only a file of this user's: /proc may hide the processes of others.
_SWEEP = (
    f'for old in "$folder"{PREFIX}*-????????????????; do [ -f "$old" ] || continue; name=${{old##*/{PREFIX}}}; '
    "theirs=${name%%-*} name=${name#*-}; pid=${name%%-*} name=${name#*-}; "
    'case $pid in ""|*[!0-9]*) continue; esac; '
    'if [ "$theirs" != "$host" ]; then [ -n "$(find "$old" -prune -mtime +0)" ] && rm -f "$old"; '
    'elif [ -O "$old" ] && [ "${name%-*}" != "$(since "$pid")" ]; then rm -f "$old"; fi; done 2>/dev/null; '
)
# dd runs beside the shell, which then hears at once that it is to end, and takes the file back.
_PUT = (
    'path=$1 mode=$2 random=$3 folder=${1%/*}/; umask 077; refuse() { echo "$1" >&2; exit 1; }; '
    '[ -d "$path" ] && refuse "Is a directory"; [ -d "$folder" ] || '
    '{ [ -e "${folder%/}" ] && refuse "Not a directory"; refuse "No such file or directory"; }; '
    + _NAMES
    + _SWEEP
    + f"new=$folder{PREFIX}$host-$$-$(since $$)-$random; trap 'rm -f \"$new\"; exit 1' HUP INT TERM; "
    'set -C; true >"$new" || exit 1; exec 6>>"$new" 7<&0; '
    '{ chmod "$mode" "$new" && { dd bs=65536 conv=fsync <&7 >&6 & wait $!; } && mv -f "$new" "$path"; } '
    '|| { rm -f "$new"; exit 1; }; sync "$folder" 2>/dev/null; exit 0'
)


def put(host: Launcher, path: str, data: Data, mode: int) -> None:
    """See `engine.hosts.base.Host.put`."""
    checked(path, mode)
    program = start(host, put_argv(path, mode), {}, stdin=True)
    watchdog = _Watchdog(program)
    lines: list[bytes] = []
    listener = threading.Thread(target=lambda: lines.extend(program.stderr), daemon=True)
    listener.start()
    try:
        _send(program, data, watchdog)
        with watchdog.watching():
            while program.stdout.read(CHUNK):
                pass
            code = program.wait()
        listener.join(5)
    finally:
        program.kill()
    if watchdog.barked or code == LOST:
        raise TransientFailure(f"{path}{host.note} was not written: {watchdog.reason}; what was there still is.")
    if code:
        raise not_placed(path, host.note, b"\n".join(lines).decode("utf8", "replace"))


def put_argv(path: str, mode: int) -> tuple[str, ...]:
    """What writes its stdin to `path`."""
    return ("sh", "-c", _PUT, "platform-ops", path, f"{mode:04o}", secrets.token_hex(8))


class _Watchdog:
    """Ends a program that takes no byte for `_STALL_SECONDS`."""

    def __init__(self, program: RemoteProgram) -> None:
        self._program = program
        self.barked = False

    @property
    def reason(self) -> str:
        return f"no byte moved for {_STALL_SECONDS:.0f} s" if self.barked else "the connection was lost"

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        timer = threading.Timer(_STALL_SECONDS, self._bark)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _bark(self) -> None:
        self.barked = True
        self._program.kill()


def _send(program: RemoteProgram, data: Data, watchdog: _Watchdog) -> None:
    """An error of `data` itself goes on as it is, and the program is ended by whoever started it."""
    stdin = program.stdin
    if stdin is None:
        raise OperationFailed("A program that was to write a file has no input.")
    for piece in pieces(data):
        try:
            with watchdog.watching():
                stdin.write(piece)
        except BrokenPipeError:
            return  # it says why
    with watchdog.watching():
        stdin.close()
