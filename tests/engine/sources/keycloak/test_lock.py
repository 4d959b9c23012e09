"""Two who see the same dead lock: one of them has it."""

from __future__ import annotations

import os
import secrets
import subprocess
from pathlib import Path

from engine.sources.keycloak.lock import _SCRIPT


def test_a_lock_that_was_taken_meanwhile_is_given_back(tmp_path: Path) -> None:
    name = f"test-{secrets.token_hex(4)}"
    link = Path(f"/dev/shm/platform-ops-{name}.lock")
    link.symlink_to("999999999 1 a run of yesterday")
    slow = tmp_path / "mv"
    slow.write_text(
        f'#!/bin/sh\n: >{tmp_path}/seen; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done; exec /bin/mv "$@"\n'
    )
    slow.chmod(0o755)

    def taking(label: str, path: str) -> subprocess.Popen[bytes]:
        argv = ["sh", "-c", _SCRIPT, "platform-ops", name, label]
        return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PATH": path})

    with taking("the slower", f"{tmp_path}:{os.environ['PATH']}") as slower:
        while not (tmp_path / "seen").exists():
            assert slower.poll() is None
        with taking("the quicker", os.environ["PATH"]) as quicker:
            assert quicker.stdout and quicker.stdout.readline() == b"taken\n"
            (tmp_path / "go").touch()
            assert slower.communicate(timeout=10)[0] == b"held the quicker\n" and slower.returncode == 75
            assert link.readlink().name.endswith("the quicker")
            quicker.communicate(timeout=10)
    assert not link.is_symlink()
