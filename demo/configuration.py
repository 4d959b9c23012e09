"""The demo's platform-ops.toml and its key pair."""

from __future__ import annotations

import json

from pyrage import x25519

from demo.layout import SERVER, STORE, Layout, write_private
from demo.state import read

_TEMPLATE = """\
# Written by `make demo`. A real one looks the same: docs/platform-ops.example.toml explains each setting.

[servers.{server}]
host = "127.0.0.1"
port = {port}
user = "postgres"
password = {password}
store = "{store}"

[stores.{store}]
kind = "folder"
path = {path}
# Whoever has the identity's file can read the backups. Backups need only the recipient; on real hosts
# the file is where the restore pool's worker runs, and nowhere else.
recipients = [{recipient}]
identity = {identity}
"""


def write(layout: Layout) -> None:
    """Write the configuration for the ports that state.json has; the key pair is made once."""
    text = _TEMPLATE.format(
        server=SERVER,
        store=STORE,
        port=read(layout).postgres_port,
        password=json.dumps(f"file:{layout.password}"),
        path=json.dumps(str(layout.store)),
        recipient=json.dumps(_recipient(layout)),
        identity=json.dumps(f"file:{layout.identity}"),
    )
    write_private(layout.config, text)


def _recipient(layout: Layout) -> str:
    if not layout.identity.exists():
        write_private(layout.identity, f"{x25519.Identity.generate()}\n")
    identity = x25519.Identity.from_str(layout.identity.read_text(encoding="utf8").strip())
    return str(identity.to_public())
