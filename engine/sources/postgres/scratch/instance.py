"""A PostgreSQL server of our own: made, started, stopped and recognised again after a crash."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import ConfigurationError, OperationFailed
from engine.hosts.processes import ProcessIdentity
from engine.sources.postgres.programs.account import private_folder, privileges
from engine.sources.postgres.scratch.initdb import ENVIRONMENT, initialise
from engine.sources.postgres.scratch.postmaster import is_ready, recorded_pid, serves
from engine.sources.postgres.scratch.socket_and_port import check_socket_path

_LOG_TAIL_BYTES = 4096
_POLL_SECONDS = 0.02
# Kept so that a server this process started is reaped, and never taken for one that still runs.
_children: dict[Path, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True, slots=True)
class Instance:
    """One server, described by values alone: the same values find it again in another process.

    `folder` (0700, the server account's own) holds `data`, the Unix socket and `log`. `programs` is
    the folder of postgres and initdb. `listen` is empty (the socket only) or the addresses of TCP.
    `settings` are given on the command line and win over the configuration files and ALTER SYSTEM.
    """

    folder: Path
    programs: Path
    port: int = 5432
    superuser: str = "postgres"
    listen: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def socket(self) -> Path:
        """The folder of its Unix socket; who passes into it is trusted."""
        return self.folder

    @property
    def exists(self) -> bool:
        """Whether it was made (wholly)."""
        return (self.data / "PG_VERSION").is_file()

    def conninfo(self, dbname: str = "postgres", **extra: str | int) -> str:
        """A libpq connection string through the socket; `extra` adds to it or replaces parts."""
        parts: dict[str, str | int] = {
            "host": str(self.socket),
            "port": self.port,
            "user": self.superuser,
            "dbname": dbname,
        }
        return " ".join(f"{key}={_quoted(str(value))}" for key, value in (parts | extra).items())

    def create(
        self,
        *,
        encoding: str = "UTF8",
        locale: str = "C.UTF-8",
        checksums: bool = False,
        password: str | None = None,
        sync: bool = True,
    ) -> None:
        """Make its data folder. TCP asks for a password (SCRAM); `password` is the superuser's.

        Raises:
            ConfigurationError: there is one already, or a server could not live in this folder.
            OperationFailed: initdb failed; its last words are in the sentence.
        """
        if self.exists:
            raise ConfigurationError(f"{self.folder} holds a server already; start it, or remove it first.")
        check_socket_path(self.folder, self.port)
        private_folder(self.folder)
        options = [f"--encoding={encoding}", f"--locale={locale}", f"--username={self.superuser}"]
        options += ["--data-checksums"] * checksums + ["--no-sync"] * (not sync)
        part = self.folder / "data.part"
        initialise(self.programs, part, options, password)
        part.rename(self.data)

    def start(self, timeout: float = 60.0) -> ProcessIdentity:
        """Start it and wait until it takes connections; one that runs already is left as it is.

        Raises:
            OperationFailed: it did not start within `timeout` seconds; the log's last lines are in the sentence.
        """
        running = self.running()
        if running:
            return running
        child = self._launched()
        _children[self.data] = child
        try:
            self._await_ready(child, timeout)
        except BaseException:
            self.stop(immediate=True)
            raise
        identity = self.running()
        if identity is None:
            raise self._failed("ended at once")
        return identity

    def running(self) -> ProcessIdentity | None:
        """The server's first process; None when none serves this very data folder."""
        child = _children.get(self.data)
        if child and child.poll() is None:
            return ProcessIdentity.of(child.pid)
        pid = recorded_pid(self.data)
        identity = ProcessIdentity.of(pid) if pid else None
        return identity if identity and serves(identity.pid, self.data) else None

    def stop(self, timeout: float = 20.0, *, immediate: bool = False) -> bool:
        """End it: a fast shutdown, after `timeout` seconds an immediate one, then SIGKILL.

        `immediate` skips the first (the next start recovers). Returns whether it was running.

        Raises:
            OperationFailed: it belongs to another user, or not even SIGKILL ended it.
        """
        identity = self.running()
        if identity and (immediate or not (identity.send(signal.SIGINT) and identity.wait(timeout))):
            identity.end(10.0, first=signal.SIGQUIT)
        child = _children.pop(self.data, None)
        if child:
            child.wait()
        return identity is not None

    def remove(self) -> None:
        """End it at once and delete its folder."""
        self.stop(immediate=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def log_tail(self, lines: int = 8) -> str:
        """The last lines of its log, as one line for a message."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - _LOG_TAIL_BYTES))
                text = file.read().decode(errors="replace")
        except OSError:
            return "(no log)"
        return " | ".join(line.strip() for line in text.splitlines()[-lines:] if line.strip()) or "(empty log)"

    def _launched(self) -> subprocess.Popen[bytes]:
        """Not by a Host: a server of this machine's own, with an account, a session and a log that no client has."""
        named = {"listen_addresses": self.listen, "port": str(self.port)}
        named |= {"unix_socket_directories": str(self.socket), "unix_socket_permissions": "0700"}
        command = [str(self.programs / "postgres"), "-D", str(self.data)]
        for name, value in (named | dict(self.settings)).items():
            command += ["-c", f"{name}={value}"]
        try:
            with os.fdopen(_private(self.log), "ab") as log:
                return subprocess.Popen(
                    command,
                    cwd=self.folder,
                    env=ENVIRONMENT,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    **privileges(),
                )
        except OSError as error:
            raise OperationFailed(f"The PostgreSQL server in {self.folder} could not start: {error}") from None

    def _await_ready(self, child: subprocess.Popen[bytes], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not is_ready(self.data, child.pid):
            if child.poll() is not None:
                raise self._failed("ended at once")
            if time.monotonic() >= deadline:
                raise self._failed(f"was not ready within {timeout:.0f} s")
            time.sleep(_POLL_SECONDS)

    def _failed(self, how: str) -> OperationFailed:
        return OperationFailed(f"The PostgreSQL server in {self.folder} {how}; its log ends with: {self.log_tail()}")


def _private(log: Path) -> int:
    return os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", r"\\").replace("'", r"\'") + "'"
