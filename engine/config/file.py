"""Find and read platform-ops.toml."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

from pydantic import ValidationError

from engine.config.settings import FolderStore, ServerSettings, Settings, StoreSettings
from engine.errors import ConfigurationError

NAME = "platform-ops.toml"
VARIABLE = "PLATFORM_OPS_CONFIG"
SYSTEM = Path("/etc/platform-ops") / NAME


def find(given: Path | None = None) -> Path:
    """The file to read: the given one, else `$PLATFORM_OPS_CONFIG`, else ./, else /etc/platform-ops/.

    Raises:
        ConfigurationError: there is none.
    """
    if given is not None:
        return given
    if named := os.environ.get(VARIABLE):
        return Path(named)
    for path in (Path(NAME), SYSTEM):
        if _is_there(path):
            return path
    raise ConfigurationError(
        f"No {NAME} in {Path.cwd()} or {SYSTEM.parent}; give one with --config or ${VARIABLE} "
        "(docs/platform-ops.example.toml is one to start from)."
    )


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except PermissionError:  # in a folder that is closed to this user: reading it says so
        return True


def load(given: Path | None = None) -> Settings:
    """Read and check the configuration.

    Raises:
        ConfigurationError: it is missing, unreadable or wrong; the sentence names the place in it.
    """
    path = find(given)
    try:
        document = tomllib.loads(path.read_text(encoding="utf8"))
    except OSError as error:
        raise ConfigurationError(
            f"The configuration {path} cannot be read: {error.strerror}; give a readable one with --config or ${VARIABLE}."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}.") from None
    try:
        settings = Settings.model_validate(document)
    except ValidationError as error:
        raise ConfigurationError(_sentence(path, error)) from None
    return _stores_exist(settings, path)


def _sentence(path: Path, error: ValidationError) -> str:
    """The first mistakes, without the values: one of them may be a secret pasted in the wrong place."""
    found = error.errors(include_input=False, include_url=False)
    places = []
    for mistake in found[:3]:
        steps = [str(step) for step in mistake["loc"] if step not in ("folder", "s3", "[key]")]
        message = {
            "extra_forbidden": "there is no such setting; correct its name or remove it",
            "missing": "it is missing",
            "union_tag_not_found": 'kind is missing ("folder" or "s3")',
        }.get(mistake["type"], mistake["msg"].removeprefix("Value error, "))
        places.append(f"{'.'.join(steps) or 'the file'}: {message}")
    more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
    return f"{path}: {'; '.join(places)}{more}."


def _stores_exist(settings: Settings, path: Path) -> Settings:
    for name, server in settings.servers.items():
        if server.store in server.copies or len(set(server.copies)) < len(server.copies):
            raise ConfigurationError(
                f"{path}: servers.{name} names a store twice in store and copies; each copy goes to a store of its own."
            )
        for store in (server.store, *server.copies):
            if store not in settings.stores:
                known = ", ".join(settings.stores)
                raise ConfigurationError(
                    f"{path}: servers.{name} names the store {store!r}; there are: {known}."
                )
        _are_apart(settings, name, path)
    return settings


def _are_apart(settings: Settings, name: str, path: Path) -> None:
    """A copy in the same place is none, and two retentions would prune one set of backups."""
    server, found = settings.servers[name], dict[tuple[str, ...], str]()
    for store in (server.store, *server.copies):
        other = found.setdefault(_place(settings.stores[store]), store)
        if other != store:
            raise ConfigurationError(
                f"{path}: the stores {other!r} and {store!r} of servers.{name} are one and the same place; "
                "each copy goes to a place of its own."
            )


def _place(store: StoreSettings) -> tuple[str, ...]:
    if isinstance(store, FolderStore):
        return ("folder", os.path.realpath(Path(store.path).expanduser()))
    return ("s3", store.endpoint_url.rstrip("/").lower(), store.bucket, store.prefix.strip("/"))


def server_settings(settings: Settings, name: str) -> ServerSettings:
    """The server of this name.

    Raises:
        ConfigurationError: there is none.
    """
    try:
        return settings.servers[name]
    except KeyError:
        raise ConfigurationError(
            f"There is no server {name!r} in the configuration; there are: {', '.join(settings.servers)}."
        ) from None


def store_settings(settings: Settings, name: str) -> StoreSettings:
    """The store of this name.

    Raises:
        ConfigurationError: there is none.
    """
    try:
        return settings.stores[name]
    except KeyError:
        raise ConfigurationError(
            f"There is no store {name!r} in the configuration; there are: {', '.join(settings.stores)}."
        ) from None
