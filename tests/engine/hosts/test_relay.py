"""A relay in a place that has neither perl nor nc, as Keycloak's own image: bash is enough."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from pathlib import Path

from engine.hosts.endpoints import Tcp
from engine.hosts.shell import NO_RELAY, relay_argv


def _poor_path(folder: Path, *programs: str) -> dict[str, str]:
    for name in programs:
        (folder / name).symlink_to(shutil.which(name) or "")
    return {"PATH": str(folder)}


def test_bash_relays_where_there_is_nothing_else(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                requested = connection.recv(100)
                connection.sendall(b"you said " + requested)

        threading.Thread(target=answer, daemon=True).start()
        argv = relay_argv(Tcp("127.0.0.1", server.getsockname()[1]))
        env = _poor_path(tmp_path, "sh", "bash", "cat")
        done = subprocess.run(argv, env=env, input=b"hello", capture_output=True, timeout=20)
    assert (done.stdout, done.returncode) == (b"you said hello", 0), done.stderr


def test_without_bash_too_it_says_that_it_cannot(tmp_path: Path) -> None:
    done = subprocess.run(relay_argv(Tcp("127.0.0.1", 9)), env=_poor_path(tmp_path, "sh", "cat"), capture_output=True)
    assert done.returncode == NO_RELAY
