"""Which connections are open, as /proc/net/tcp tells (proc(5)). Pure."""

from __future__ import annotations

import ipaddress

_ESTABLISHED = "01"


def established_to(table: str, address: str, port: int) -> int:
    """How many established connections lead to an IPv4 address and port."""
    packed = ipaddress.IPv4Address(address).packed
    wanted = f"{packed[::-1].hex().upper()}:{port:04X}"
    rows = (line.split() for line in table.splitlines()[1:])
    return sum(1 for row in rows if len(row) > 3 and row[2] == wanted and row[3] == _ESTABLISHED)
