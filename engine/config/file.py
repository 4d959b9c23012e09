"""Find and read platform-ops.toml."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, create_model

from engine.config.clusters import ClusterSettings
from engine.config.names import LOCAL, Name
from engine.config.platforms import PlatformSettings
from engine.config.settings import FolderStore, Retention, Settings, SourceSettings, StoreSettings
from engine.errors import ConfigurationError
from engine.hosts.settings import HostSettings
from engine.settings_model import Frozen

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


def load(
    given: Path | None,
    sections: Mapping[str, type[SourceSettings]],
    retention: Mapping[str, Retention],
) -> Settings:
    """Read and check the configuration.

    `sections` are the tables of what is kept (`servers`), with what each of them may say; `retention` is how long sets
    of each kind are kept where a store says nothing.

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
        checked = _file_model(sections).model_validate(document)
    except ValidationError as error:
        raise ConfigurationError(_sentence(path, error)) from None
    stores = {
        name: with_retention(f"{path}: stores.{name}", store, retention) for name, store in checked.stores.items()
    }
    settings = Settings(_sources(path, checked, sections), stores, checked.hosts, checked.platforms, checked.clusters)
    return _references_hold(settings, path)


class _File(Frozen):
    """The tables that every file may have."""

    hosts: dict[Name, HostSettings] = Field(default={})
    stores: dict[Name, StoreSettings] = Field(min_length=1)
    platforms: dict[Name, PlatformSettings] = Field(default={})
    clusters: dict[Name, ClusterSettings] = Field(default={})


def _file_model(sections: Mapping[str, type[SourceSettings]]) -> type[_File]:
    fields: dict[str, Any] = {section: (dict[Name, model], {}) for section, model in sections.items()}  # type: ignore[valid-type]
    return create_model("File", __base__=_File, **fields)


def _sources(path: Path, checked: _File, sections: Mapping[str, type[SourceSettings]]) -> dict[str, SourceSettings]:
    found: dict[str, SourceSettings] = {}
    for section in sections:
        for name, source in getattr(checked, section).items():
            if name in found:
                raise ConfigurationError(
                    f"{path}: {section}.{name} has a name that another table has too; each gets a folder of its name in "
                    "the stores: rename one."
                )
            found[name] = source
    if not (found or checked.platforms or checked.clusters):
        tables = " or ".join(f"[{section}.NAME]" for section in (*sections, "platforms", "clusters"))
        raise ConfigurationError(f"{path} names nothing that is kept or deployed; add {tables}.")
    return found


def with_retention(where: str, store: StoreSettings, kinds: Mapping[str, Retention]) -> StoreSettings:
    """The store with a policy for each kind: what it says of one, and else what the kind itself has.

    Raises:
        ConfigurationError: it says something of an unknown kind; `where` it stands is told.
    """
    if unknown := sorted(store.retention.keys() - kinds):
        raise ConfigurationError(f"{where}.retention names the kind {unknown[0]!r}; there are: {', '.join(kinds)}.")
    set_here = {kind: policy.model_dump(exclude_unset=True) for kind, policy in store.retention.items()}
    whole = {kind: policy.model_copy(update=set_here.get(kind, {})) for kind, policy in kinds.items()}
    return store.model_copy(update={"retention": whole})


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


def _references_hold(settings: Settings, path: Path) -> Settings:
    for name, source in settings.sources.items():
        if source.store in source.copies or len(set(source.copies)) < len(source.copies):
            raise ConfigurationError(
                f"{path}: {name} names a store twice in store and copies; each copy goes to a store of its own."
            )
        for store in (source.store, *source.copies):
            if store not in settings.stores:
                known = ", ".join(settings.stores)
                raise ConfigurationError(f"{path}: {name} names the store {store!r}; there are: {known}.")
        if source.runs_on not in (LOCAL, *settings.hosts):
            known = ", ".join((LOCAL, *settings.hosts))
            raise ConfigurationError(f"{path}: {name} runs on the host {source.runs_on!r}; there are: {known}.")
        _are_apart(settings, name, path)
        _is_with_its_platform(settings, name, source, path)
    for name, platform in settings.platforms.items():
        _platform_holds(settings, name, platform, path)
    for name, cluster in settings.clusters.items():
        if cluster.backup is not None and cluster.backup not in settings.sources:
            known = ", ".join(settings.sources) or "none"
            raise ConfigurationError(
                f"{path}: the cluster {name} names the source {cluster.backup!r}; there are: {known}."
            )
    if LOCAL in settings.hosts:
        raise ConfigurationError(f"{path}: hosts.{LOCAL} is this machine, which needs no table; give the other a name.")
    return settings


def _is_with_its_platform(settings: Settings, name: str, source: SourceSettings, path: Path) -> None:
    if source.platform is None:
        return
    if source.platform not in settings.platforms:
        known = ", ".join(settings.platforms) or "none"
        raise ConfigurationError(f"{path}: {name} names the platform {source.platform!r}; there are: {known}.")


def _platform_holds(settings: Settings, name: str, platform: PlatformSettings, path: Path) -> None:
    named = (("store", platform.store, settings.stores), ("source", platform.backup, settings.sources))
    for what, wanted, known in named:
        if wanted is not None and wanted not in known:
            raise ConfigurationError(
                f"{path}: the platform {name} names the {what} {wanted!r}; there are: {', '.join(known) or 'none'}."
            )
    if platform.runs_on not in (LOCAL, *settings.hosts):
        hosts = ", ".join((LOCAL, *settings.hosts))
        raise ConfigurationError(
            f"{path}: the platform {name} runs on the host {platform.runs_on!r}; there are: {hosts}."
        )


def _are_apart(settings: Settings, name: str, path: Path) -> None:
    """A copy in the same place is none, and two retentions would prune one set of backups."""
    source, found = settings.sources[name], dict[tuple[str, ...], str]()
    for store in (source.store, *source.copies):
        other = found.setdefault(_place(settings.stores[store]), store)
        if other != store:
            raise ConfigurationError(
                f"{path}: the stores {other!r} and {store!r} of {name} are one and the same place; "
                "each copy goes to a place of its own."
            )


def _place(store: StoreSettings) -> tuple[str, ...]:
    if isinstance(store, FolderStore):
        return ("folder", os.path.realpath(Path(store.path).expanduser()))
    return ("s3", store.endpoint_url.rstrip("/").lower(), store.bucket, store.prefix.strip("/"))
