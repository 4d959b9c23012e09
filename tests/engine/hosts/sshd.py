"""An sshd of the tests' own, on a free port of 127.0.0.1, with its own keys and nobody else let in."""

from __future__ import annotations

import getpass
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.hosts.settings import HostSettings
from tests.engine.hosts.parts import missing, program
from tests.quick import starting

_CONFIG = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AllowTcpForwarding {forwarding}
AllowStreamLocalForwarding {forwarding}
MaxSessions 100
MaxStartups 100
LogLevel ERROR
SetEnv HOME={folder}
"""
"""Bash reads the .bashrc of its home for each command that sshd runs: nobody's own one here, which may take a second."""


@dataclass(frozen=True)
class Sshd:
    """`key` is let in, `stranger` is a key that is not; `known_hosts` knows this very server."""

    folder: Path
    port: int
    pid: int

    @property
    def where(self) -> str:
        return f"ssh:{getpass.getuser()}@127.0.0.1:{self.port}"

    @property
    def settings(self) -> HostSettings:
        """Of a host that is reached by it."""
        return HostSettings(where=self.where, ssh_key=self.key, ssh_known_hosts=self.known_hosts)

    @property
    def key(self) -> str:
        return f"file:{self.folder / 'key'}"

    @property
    def stranger(self) -> str:
        return f"file:{self.folder / 'stranger'}"

    @property
    def known_hosts(self) -> str:
        return str(self.folder / "known_hosts")


def make_key(path: Path, kind: str = "ed25519", passphrase: str = "") -> str:
    """A new key pair; its public half."""
    argv = [program("ssh-keygen"), "-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", str(path)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    return path.with_suffix(".pub").read_text(encoding="utf8").strip()


@contextmanager
def running_sshd(folder: Path, *, forwarding: bool = True) -> Iterator[Sshd]:
    """Start one in `folder` (new) and end it."""
    starting("sshd")
    sshd = program("sshd")
    folder.mkdir(mode=0o700)
    host, key = make_key(folder / "host_key"), make_key(folder / "key")
    make_key(folder / "stranger")
    port = _free_port()
    (folder / "authorized_keys").write_text(f"{key}\n", encoding="utf8")
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host}\n", encoding="utf8")
    config = _CONFIG.format(port=port, folder=folder, forwarding="yes" if forwarding else "no")
    (folder / "sshd_config").write_text(config, encoding="utf8")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sshd, "-D", "-e", "-f", str(folder / "sshd_config")], stdout=log, stderr=log)
    try:
        _await(process, port, folder / "log")
        yield Sshd(folder, port, process.pid)
    finally:
        process.terminate()
        process.wait()


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    missing(f"sshd does not start here: {log.read_text(encoding='utf8')[-300:]}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port
