"""The configuration of the bench's server and its store, and the key that the store is encrypted to."""

from __future__ import annotations

from pathlib import Path

from pyrage import x25519

from engine.sources.postgres.scratch.instance import Instance

SERVER = "bench"
_TEMPLATE = """\
[servers.{server}]
host = "{host}"
port = {port}
store = "{server}"

[stores.{server}]
kind = "folder"
path = "{store}"
recipients = ["{recipient}"]
identity = "file:{identity}"
"""


def write_config(config: Path, server: Instance, store: Path, identity: Path) -> None:
    """Write it, and the key where there is none yet."""
    if not identity.exists():
        identity.write_text(f"{x25519.Identity.generate()}\n", encoding="utf8")
        identity.chmod(0o600)
    key = x25519.Identity.from_str(identity.read_text(encoding="utf8").strip())
    text = _TEMPLATE.format(
        server=SERVER,
        host=server.socket,
        port=server.port,
        store=store,
        recipient=key.to_public(),
        identity=identity,
    )
    config.write_text(text, encoding="utf8")
