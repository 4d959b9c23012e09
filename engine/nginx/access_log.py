"""What nginx's access log (JSON, stack/nginx/nginx.conf) says of requests that were lost."""

from __future__ import annotations

import json

OUR_AGENT = "platformctl"
"""What our own probes call themselves: those that find a service ill lose nobody's request."""


def is_lost(line: str) -> bool:
    """A request that nobody behind nginx answered: nginx's own 502, 503 or 504."""
    try:
        found = json.loads(line)
    except ValueError:
        return False
    return (
        isinstance(found, dict)
        and str(found.get("upstream_status", "")).rpartition(" ")[2] in ("502", "504")
        and found.get("status") in (502, 503, 504)
        and found.get("agent") != OUR_AGENT
    )
