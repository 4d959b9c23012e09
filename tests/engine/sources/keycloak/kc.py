"""Stand-ins for kc.sh, where a fault has to be made to happen in an export: they run as it does, and write to its file."""

from __future__ import annotations

SLOW = 'printf \'{"realm" : "kohub", "clients" : [\' >/dev/fd/3; while :; do printf " " >/dev/fd/3; sleep 0.3; done\n'
"""It begins an export and never ends."""


def says(path: str, code: int = 0) -> str:
    """Of an export it gives what is in the file `path` and ends with `code`; an import is Keycloak's own."""
    return f'[ "$1" = import ] && exec bash /opt/keycloak/bin/kc.sh "$@"; cat {path} >/dev/fd/3; exit {code}\n'
