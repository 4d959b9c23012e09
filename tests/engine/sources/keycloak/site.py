"""A platform-ops.toml for the pair, an encrypted store, and the shell."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pyrage

from engine.cli import main
from engine.repository.repository import Repository, open_repository
from engine.sources.registry import load_settings
from tests.engine.sources.keycloak.pair import ADMIN_PASSWORD, REALM, USER, USER_PASSWORD, Pair

SOURCE = "sso"


@dataclass
class Site:
    folder: Path
    pair: Pair
    message: str = ""

    @property
    def config(self) -> Path:
        return self.folder / "platform-ops.toml"

    def write(self, extra: str = "", path: str = "", encrypted: bool = True) -> None:
        """The configuration; `extra` goes into the source's own table."""
        key = self.folder / "identity"
        if not key.exists():
            identity = pyrage.x25519.Identity.generate()
            key.write_text(str(identity))
            (self.folder / "recipient").write_text(str(identity.to_public()))
            for name, secret in (("admin", ADMIN_PASSWORD), ("user", USER_PASSWORD)):
                (self.folder / name).write_text(secret)
            for secret_file in self.folder.iterdir():
                secret_file.chmod(0o600)
        recipients = f'recipients = ["{(self.folder / "recipient").read_text()}"]\nidentity = "file:{key}"\n'
        self.config.write_text(f"""
[hosts.keycloak]
where = "container:{self.pair.name}"
[realms.{SOURCE}]
runs_on = "keycloak"
url = "http://127.0.0.1:8080/auth"
password = "file:{self.folder}/admin"
store = "nightly"
logins = {{ {REALM} = {{ user = "{USER}", password = "file:{self.folder}/user" }} }}
{extra}
[stores.nightly]
kind = "folder"
path = "{path or self.folder / "nightly"}"
{recipients if encrypted else ""}
""")

    def run(self, *arguments: str, code: int = 0) -> Any:
        """A command's result, or its error; `message` is all that it said."""
        out = self.call(*arguments, "--json", code=code)
        document = json.loads(out)
        return document["result"] if code == 0 or document["result"] else document["error"]

    def call(self, *arguments: str, code: int = 0) -> str:
        """What a command writes to stdout."""
        out, err = TextIOWrapper(BytesIO(), "utf8"), TextIOWrapper(BytesIO(), "utf8")
        with redirect_stdout(out), redirect_stderr(err):
            ended = main([*arguments, "--config", str(self.config)])
            out.flush()
            err.flush()
        result = out.buffer.getvalue().decode()
        self.message = result + err.buffer.getvalue().decode()
        assert ended == code, self.message
        return str(result)

    def back_up(self, *realms: str, code: int = 0) -> Any:
        return self.run("backup", *(word for realm in realms for word in ("--realm", realm)), code=code)

    def text(self, *arguments: str, code: int = 0) -> str:
        """What a command says to people."""
        self.call(*arguments, code=code)
        return self.message

    def repository(self) -> Repository:
        return open_repository("nightly", load_settings(self.config).store("nightly"))

    def stored_files(self) -> Sequence[Path]:
        return [path for path in (self.folder / "nightly").rglob("*") if path.is_file()]
