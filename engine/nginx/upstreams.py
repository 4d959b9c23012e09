"""What nginx includes for each service: who answers. Pure."""

from __future__ import annotations

from dataclasses import dataclass

FOLDER = "/etc/nginx/platform"
"""Where a platform's nginx sees the files that platformctl writes."""
SSL_FOLDER = "/etc/nginx/ssl"
"""Where it sees its certificate and key."""
GENERATION = "generation.conf"


@dataclass(frozen=True, slots=True)
class Upstream:
    """A service's port, and who answers there: whoever has the service's name, or one address while it is being replaced.

    `instead`: who stands in when a connection to the first is refused, as address:port.
    """

    service: str
    port: int
    address: str = ""
    instead: str = ""

    @property
    def file(self) -> str:
        return f"{self.service}.conf"

    def text(self) -> str:
        """A name is asked for again and again (`resolve`): after a restart a container may have another address.

        `max_fails=0`: the only server there is must never be taken for dead (nginx manual, ngx_http_upstream_module).
        """
        first = (
            f"{self.address}:{self.port} max_fails=0"
            if self.address
            else f"{self.service}:{self.port} resolve max_fails=0"
        )
        lines = [f"    server {first};"]
        if self.instead:
            lines.append(f"    server {self.instead} max_fails=0 backup;")
        return "\n".join(
            (
                "# Written by platformctl at each rollout.",
                f"upstream {self.service} {{",
                f"    zone {self.service} 256k;",
                *lines,
                "    keepalive 64;",
                "}",
                "",
            )
        )


def generation_text(generation: str) -> str:
    """What tells one reload from another, asked for at /generation."""
    return (
        f'# Written by platformctl at each reload.\nmap "" $platform_generation {{\n    default "{generation}";\n}}\n'
    )
