"""Make a release out of what the operator keeps in the platform's folder, or of an earlier release. Nothing that runs changes."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

from engine.compose.docker import SLOW_SECONDS, Docker, ImageFacts
from engine.compose.model import ROLLOUT, Model, Service
from engine.errors import ConfigurationError, NotFound
from engine.progress import Progress
from engine.releases import environment
from engine.releases.images import restored
from engine.releases.release import MIGRATION_LABEL, Release, ServiceRelease, flat, pin, with_version
from engine.releases.site import BASE, ENV, IMAGES, Site

_VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_KEY = "run/key"
_NGINX, _POSTGRES = "nginx", "postgres"


@dataclass(frozen=True)
class Staged:
    """A release in its own folder, with what compose makes of it."""

    release: Release
    model: Model
    values: Mapping[str, str]


@dataclass(frozen=True)
class Origin:
    """What a release is made of: variables (images among them), compose files, files of nginx and of PostgreSQL's start."""

    values: Mapping[str, str]
    compose: Mapping[str, bytes]
    nginx: Mapping[str, bytes]
    postgres: Mapping[str, bytes]


def from_folder(site: Site) -> Origin:
    """What the operator keeps.

    Raises:
        ConfigurationError: a file is missing, or a secret is weak or a placeholder.
    """
    images = environment.read(site.must_read(IMAGES), site.path(IMAGES))
    where = site.path(site.environment_file)
    own = environment.resolved(environment.read(site.must_read(site.environment_file), where))
    if site.settings.environment != "dev":
        environment.require_strong(own, where)
    names = (BASE, site.overlay)
    return Origin(images | own, {name: site.must_read(name) for name in names}, site.tree(_NGINX), site.tree(_POSTGRES))


def from_release(site: Site, release: str) -> Origin:
    """What an earlier release was made of, its images pinned as they were."""
    folder = partial(site.release, release)
    values = environment.read(site.must_read(folder(ENV)), site.path(folder(ENV)))
    names = (BASE, site.overlay)
    compose = {name: site.must_read(folder(name)) for name in names}
    return Origin(values, compose, site.tree(folder(_NGINX)), site.tree(folder(_POSTGRES)))


def with_versions(origin: Origin, versions: Mapping[str, str], references: Mapping[str, str]) -> Origin:
    """The same with other versions of some services; `references` tell of pinned images what they were asked for as.

    Raises:
        ConfigurationError: there is no such service, or that is no version.
    """
    values = dict(origin.values)
    for service, version in versions.items():
        variable = image_variable(service)
        if variable not in values:
            known = ", ".join(sorted(name[:-6].lower().replace("_", "-") for name in values if name.endswith("_IMAGE")))
            raise ConfigurationError(f"There is no service {service[:60]!r} with an image; there are: {known}.")
        if not _VERSION.fullmatch(version):
            raise ConfigurationError(
                f"{version[:60]!r} is no version of {service}; a version is an image's tag, such as 1.4.2."
            )
        values[variable] = with_version(references.get(service, values[variable]), version)
    return replace(origin, values=values)


def image_variable(service: str) -> str:
    """The variable that names a service's image."""
    return f"{service.upper().replace('-', '_')}_IMAGE"


def new_id(now: datetime, there: Sequence[str]) -> str:
    """An id that comes after those that are there, whatever this machine's clock says: they tell the order of releases."""
    if there:
        newest = datetime.strptime(there[-1].partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        now = max(now, newest + timedelta(seconds=1))
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def stage(
    site: Site, docker: Docker, platform: str, origin: Origin, progress: Progress, before: Release | None = None
) -> Staged:
    """Write the release's folder, fetch and pin its images, and resolve it.

    Raises:
        ConfigurationError: compose refuses it, or an image cannot be had.
    """
    now = datetime.now(UTC)
    identity = new_id(now, site.releases())
    values = dict(origin.values) | {"PLATFORM_DIRECTORY": site.directory}
    nginx = {name: _filled(name, text, values) for name, text in origin.nginx.items()}
    docker.hidden |= environment.secrets_of(values)
    docker.variables |= _variables(values, origin.compose.values())
    site.make_folders("run", "run/releases", site.release(identity))
    try:
        _write(site, identity, origin, values)
        model = docker.model(site.files(identity))
        pins = {name: _pinned(docker, site, model, name, before, progress) for name in model.order}
        values |= {image_variable(name): pin.image for name, pin in pins.items()}
        site.write(site.release(identity, ENV), environment.as_file(values, _about(site, identity)))
        model = docker.model(site.files(identity))
        _require_no_secret_in_argv(model, values)
        unpinned = [name for name, service in model.services.items() if service.image != pins[name].image]
        if unpinned:
            raise ConfigurationError(
                f"The image of {unpinned[0]} does not come from {image_variable(unpinned[0])}; write "
                f"`image: ${{{image_variable(unpinned[0])}:?}}` in the compose file."
            )
        release = _release(site, docker, platform, identity, now, model, pins, values, nginx)
        site.write(site.release(identity, "release.json"), release.as_json())
    except BaseException:
        site.remove(site.release(identity))
        raise
    return Staged(release, model, values)


def restage(site: Site, docker: Docker, release: Release) -> Staged:
    """An existing release, resolved again."""
    path = site.release(release.id, ENV)
    values = environment.read(site.must_read(path), site.path(path))
    docker.hidden |= environment.secrets_of(values)
    files = (site.read(site.release(release.id, name)) or b"" for name in (BASE, site.overlay))
    docker.variables |= _variables(values, files)
    return Staged(release, docker.model(site.files(release.id)), values)


def _variables(values: Mapping[str, str], files: Iterable[bytes]) -> frozenset[str]:
    """What the files may be filled with: a variable of that name in somebody's shell must not win over them."""
    named = {name.decode() for text in files for name in re.findall(rb"\$\{?([A-Za-z_][A-Za-z0-9_]*)", text)}
    return frozenset(values) | named


def nginx_files(site: Site, staged: Staged) -> dict[str, bytes]:
    """nginx's files of a release, with its variables filled in."""
    found = site.tree(site.release(staged.release.id, _NGINX))
    return {name: _filled(name, text, staged.values) for name, text in found.items()}


def postgres_files(site: Site, staged: Staged) -> dict[str, bytes]:
    """What a new PostgreSQL runs on its first start."""
    return site.tree(site.release(staged.release.id, _POSTGRES))


@dataclass(frozen=True, slots=True)
class _Pin:
    image: str
    image_id: str
    digest: str
    reference: str
    migration: str


def _pinned(docker: Docker, site: Site, model: Model, name: str, before: Release | None, progress: Progress) -> _Pin:
    """Fetch an image where it is missing, and give what was fetched a tag that never moves."""
    reference = model.services[name].image
    known = next((each for each in (before.services if before else {}).values() if each.image == reference), None)
    if known:  # pinned already
        facts = docker.image(reference)
        return _Pin(reference, facts.id, known.digest, known.reference, facts.labels.get(MIGRATION_LABEL, ""))
    facts = _fetched(docker, site, name, reference, progress)
    image = pin(site.settings.project, name, reference, facts.id)
    docker.call(("docker", "tag", facts.id, image))
    return _Pin(image, facts.id, facts.digest, reference, facts.labels.get(MIGRATION_LABEL, ""))


def _fetched(docker: Docker, site: Site, name: str, reference: str, progress: Progress) -> ImageFacts:
    if site.settings.pull == "missing":
        for known in filter(None, (reference, restored(site, reference))):
            with suppress(NotFound):
                return docker.image(known)
    progress(f"fetch {reference}")
    done = docker.tried(("docker", "pull", "--quiet", reference), timeout=SLOW_SECONDS)
    if done.code != 0:
        message = docker.refused(("docker", "pull"), done)
        raise ConfigurationError(f"The image {reference} of {name} cannot be fetched; nothing was changed. {message}")
    return docker.image(reference)


def _write(site: Site, identity: str, origin: Origin, values: Mapping[str, str]) -> None:
    for name, text in origin.compose.items():
        site.write(site.release(identity, name), text)
    site.write_tree(site.release(identity, _NGINX), origin.nginx)
    site.write_tree(site.release(identity, _POSTGRES), origin.postgres)
    site.write(site.release(identity, ENV), environment.as_file(values, _about(site, identity)))


def _about(site: Site, identity: str) -> tuple[str, ...]:
    return (f"Written by platformctl for release {identity}; edit {site.environment_file} and {IMAGES}, then deploy.",)


def _release(
    site: Site,
    docker: Docker,
    platform: str,
    identity: str,
    now: datetime,
    model: Model,
    pins: Mapping[str, _Pin],
    values: Mapping[str, str],
    nginx: Mapping[str, bytes],
) -> Release:
    hashes = docker.hashes(site.files(identity))
    key = _key(site)
    hidden = environment.secrets_of(values)
    services = {
        name: ServiceRelease(
            image=pins[name].image,
            image_id=pins[name].image_id,
            digest=pins[name].digest,
            reference=pins[name].reference,
            config_hash=hashes[name],
            settings=_shown({**model.services[name].definition, ROLLOUT: _rules(model.services[name])}, hidden, key),
            migration=pins[name].migration,
        )
        for name in model.order
    }
    hashed = {name: hashlib.sha256(text).hexdigest()[:12] for name, text in nginx.items()}
    folder = hashlib.sha256("\n".join(f"{name} {each}" for name, each in hashed.items()).encode()).hexdigest()[:12]
    return Release(
        id=identity,
        platform=platform,
        environment=site.settings.environment,
        services=services,
        nginx=hashed,
        nginx_folder=folder,
        made=now,
        routes=_shown({path: str(route) for path, route in model.routes.items()}, hidden, key),
        names={"network": model.network} | {f"volume {name}": each for name, each in model.volumes.items()},
    )


def _rules(service: Service) -> dict[str, object]:
    """How it is replaced and asked: that makes no other container, and another release all the same."""
    return service.rollout.model_dump(mode="json", exclude_defaults=True)


def _require_no_secret_in_argv(model: Model, values: Mapping[str, str]) -> None:
    """A command line is for everybody on the host to read.

    Raises:
        ConfigurationError: a migration's holds a secret.
    """
    hidden = environment.secrets_of(values)
    for name, service in model.services.items():
        if any(secret in word for secret in hidden for word in service.rollout.migrate):
            raise ConfigurationError(
                f"{ROLLOUT}: the migration of {name} has a secret among its words; let the command read it from the "
                "container's environment."
            )


def _shown(definition: Mapping[str, object], hidden: frozenset[str], key: bytes) -> dict[str, str]:
    """A service's settings, each value that holds a secret as a mark."""
    found = flat(definition)
    return {
        where: environment.marked(value, key)
        if environment.is_secret(where.rpartition(".")[2]) or any(secret in value for secret in hidden)
        else value
        for where, value in found.items()
    }


def _key(site: Site) -> bytes:
    found = site.read(_KEY)
    if not found:
        found = secrets.token_bytes(32)
        site.write(_KEY, found)
    return found


def _filled(name: str, text: bytes, values: Mapping[str, str]) -> bytes:
    if not name.endswith(".conf"):
        return text
    return environment.filled(text.decode("utf8"), values, f"nginx/{name}").encode()
