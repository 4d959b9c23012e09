"""What a deploy would do, as data: made by a pure function of what is and what is wanted, shown, and approved by its hash."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from engine.compose.containers import Container
from engine.compose.model import ROLLOUT, Model, Service, Strategy
from engine.errors import ConfigurationError
from engine.releases.release import Release, ServiceRelease
from engine.settings_model import Frozen

NGINX = "nginx"
OF_EARLIER = ("rollback", "restart")
"""Operations that make no release, but go to one that is there."""
_PORT = f"{ROLLOUT}.port"


class Action(StrEnum):
    """What happens to a service."""

    KEEP = "keep"
    CREATE = "create"
    ROLL = "roll"
    REPLACE = "replace"
    REMOVE = "remove"


class Change(Frozen):
    """One thing that differs: `what` is image, configuration, environment, secret, volume or container."""

    what: str
    where: str
    old: str = ""
    new: str = ""

    def __str__(self) -> str:
        where = f" {self.where}" if self.where else ""
        if self.what == "secret":
            return f"secret{where} changes"
        return f"{self.what}{where}: {self.old or '(none)'} -> {self.new or '(none)'}"


class ServicePlan(Frozen):
    """What happens to one service, and why."""

    service: str
    action: Action
    strategy: str
    changes: tuple[Change, ...] = ()
    old_version: str = ""
    new_version: str = ""


class Plan(Frozen):
    """`operation` is deploy, update or rollback; `world` is what it was made for: apply refuses another."""

    operation: str
    platform: str
    environment: str
    release: str
    """The id of the release that will run."""
    before: str = ""
    """The id of the one that runs; '' where none does."""
    world: str
    services: tuple[ServicePlan, ...]
    nginx: tuple[Change, ...] = ()
    routes: tuple[Change, ...] = ()
    migrations: tuple[str, ...] = ()
    breaking: tuple[str, ...] = ()
    backup: str = ""
    """The source that is backed up and verified first."""
    volumes: tuple[str, ...] = ()
    """Volumes that will be new."""
    remarks: tuple[str, ...] = ()

    @property
    def changing(self) -> tuple[ServicePlan, ...]:
        return tuple(each for each in self.services if each.action is not Action.KEEP)

    @property
    def empty(self) -> bool:
        """Whether nothing would be done, and nothing is to be known from then on."""
        return not (self.nginx or self.routes or any(each.changes for each in self.services))

    @property
    def hash(self) -> str:
        """What approval is bound to: everything but the name of the release."""
        text = self.model_dump_json(exclude={"release"})
        return hashlib.sha256(text.encode()).hexdigest()

    def of(self, action: Action) -> tuple[str, ...]:
        return tuple(each.service for each in self.services if each.action is action)


@dataclass(frozen=True)
class World:
    """What is: containers by service, the release that runs, the folder nginx reads."""

    containers: Mapping[str, Sequence[Container]]
    current: Release | None
    nginx_folder: str
    volumes: frozenset[str]

    @property
    def mark(self) -> str:
        """Another one when anything of it changed."""
        parts = [self.current.id if self.current else "", self.nginx_folder]
        for service, containers in sorted(self.containers.items()):
            parts += [f"{service} {each.id} {each.running}" for each in sorted(containers, key=lambda one: one.id)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def running(self, service: str) -> Container | None:
        """The container that serves; the oldest where there are several."""
        found = sorted((each for each in self.containers.get(service, ()) if each.running), key=lambda one: one.id)
        return min(found, key=lambda each: each.started.timestamp() if each.started else 0.0) if found else None


def make_plan(
    operation: str,
    model: Model,
    wanted: Release,
    world: World,
    *,
    backup: str = "",
    chosen: frozenset[str] = frozenset(),
) -> Plan:
    """The plan that leads from `world` to `wanted`. `chosen` services are made anew even where nothing differs.

    Raises:
        ConfigurationError: a service that is never to be replaced would be, or what runs cannot be told apart.
    """
    _require_known(wanted, world)
    old = world.current.services if world.current else {}
    services = [_service(model.services[name], wanted.services[name], old.get(name), world) for name in model.order]
    services = [_again(each, model) if each.service in chosen else each for each in services]
    gone = sorted(name for name in world.containers if name not in model.services and name)
    services += [ServicePlan(service=name, action=Action.REMOVE, strategy="", changes=_gone()) for name in gone]
    if never := [each for each in services if each.strategy == Strategy.NEVER and each.action is Action.REPLACE]:
        raise ConfigurationError(
            f"{never[0].service} would be replaced ({never[0].changes[0]}), and its strategy is never; do that by hand, or "
            "take the change back."
        )
    rolled = [each for each in services if each.action in (Action.ROLL, Action.REPLACE, Action.CREATE)]
    new = [each.service for each in rolled if _is_new(old.get(each.service), wanted.services[each.service])]
    migrating = tuple(name for name in new if model.services[name].rollout.migrate)
    migrations = migrating if operation in ("deploy", "update") else ()
    return Plan(
        operation=operation,
        platform=wanted.platform,
        environment=wanted.environment,
        release=wanted.id,
        before=world.current.id if world.current else "",
        world=world.mark,
        services=tuple(services),
        nginx=_files(world, wanted),
        routes=_routes(world.current, wanted),
        migrations=migrations,
        breaking=tuple(name for name in migrations if wanted.services[name].migration == "breaking"),
        backup=backup,
        volumes=tuple(sorted(volume for volume in model.volumes.values() if volume not in world.volumes)),
        remarks=tuple(_remarks(services)),
    )


def _require_known(wanted: Release, world: World) -> None:
    """What is there is what the release that runs made: all else could be lost."""
    if world.current is None and any(world.containers.values()):
        found = ", ".join(sorted(each.name for several in world.containers.values() for each in several))
        raise ConfigurationError(
            f"No release is known, and containers of this project are there ({found}): platformctl could not put them back. Let "
            "`docker compose down` remove them (volumes stay), or give this platform a `project` of its own."
        )
    twice = [name for name, found in world.containers.items() if sum(each.running for each in found) > 1]
    if twice:
        names = ", ".join(each.name for each in world.containers[twice[0]])
        raise ConfigurationError(
            f"{twice[0]} runs more than once ({names}); keep the one that serves, then plan again."
        )
    old = world.current.names if world.current else wanted.names
    moved = [each for each in old if each in wanted.names and old[each] != wanted.names[each]]
    if moved:
        raise ConfigurationError(
            f"The {moved[0]} is called {old[moved[0]]} by the release that runs, and would be {wanted.names[moved[0]]}, which is "
            "another, empty one; give it its old name, or start over in another project."
        )


def _service(service: Service, wanted: ServiceRelease, old: ServiceRelease | None, world: World) -> ServicePlan:
    name, running = service.name, world.running(service.name)
    existing = world.containers.get(name, ())
    versions = {"old_version": old.version if old else "", "new_version": wanted.version}
    strategy = _effective(service, old, wanted)
    shown = str(strategy)
    if (
        running
        and running.config_hash == wanted.config_hash
        and running.image_id == wanted.image_id
        and len(existing) == 1
        and not (old and old.settings.get(_PORT) != wanted.settings.get(_PORT))
    ):
        changes = tuple(differences(old, wanted)) if old else ()
        return ServicePlan(service=name, action=Action.KEEP, strategy=shown, changes=changes, **versions)
    if not existing:
        change = Change(what="container", where="", old="none", new=_whole(wanted))
        return ServicePlan(service=name, action=Action.CREATE, strategy=shown, changes=(change,), **versions)
    changes = tuple(differences(old, wanted)) if old else ()
    if not changes:
        change = Change(
            what="container", where="", old="stopped" if not running else "made by hand", new=_whole(wanted)
        )
        changes = (change,)
    action = Action.ROLL if strategy is Strategy.ROLLING and running else Action.REPLACE
    return ServicePlan(service=name, action=action, strategy=shown, changes=changes, **versions)


def _effective(service: Service, old: ServiceRelease | None, new: ServiceRelease) -> Strategy:
    rollout = service.rollout
    if rollout.strategy is not Strategy.ROLLING or not rollout.within_version or old is None:
        return rollout.strategy
    versioned = new.version not in ("", "latest")
    same = old.version == new.version if versioned else old.image_id == new.image_id
    return Strategy.ROLLING if same else Strategy.STOP_FIRST


def _again(plan: ServicePlan, model: Model) -> ServicePlan:
    if plan.action is not Action.KEEP:
        return plan
    rolling = model.services[plan.service].rollout.strategy is Strategy.ROLLING
    change = Change(what="container", where="", old="running", new="started anew")
    return plan.model_copy(update={"action": Action.ROLL if rolling else Action.REPLACE, "changes": (change,)})


def differences(old: ServiceRelease, new: ServiceRelease) -> list[Change]:
    """What differs between two releases of a service."""
    found = []
    if (old.image_id, old.reference) != (new.image_id, new.reference):
        before, after = f"{old.reference} ({old.image_id[7:19]})", f"{new.reference} ({new.image_id[7:19]})"
        found.append(Change(what="image", where="", old=before, new=after))
    for where in sorted(old.settings.keys() | new.settings.keys()):
        before, after = old.settings.get(where, ""), new.settings.get(where, "")
        if before != after and where != "image":
            found.append(Change(what=_kind(where, before, after), where=where, old=before, new=after))
    return found


def _kind(where: str, before: str, after: str) -> str:
    if "secret:" in before or "secret:" in after:
        return "secret"
    first = where.partition(".")[0]
    return {"environment": "environment", "volumes": "volume"}.get(first, "configuration")


def _files(world: World, wanted: Release) -> tuple[Change, ...]:
    if world.nginx_folder == wanted.nginx_folder:
        return ()
    old = world.current.nginx if world.current and world.current.nginx_folder == world.nginx_folder else {}
    names = sorted(old.keys() | wanted.nginx.keys())
    changed = [name for name in names if old.get(name) != wanted.nginx.get(name)]
    return tuple(
        Change(what="configuration", where=f"nginx/{name}", old=old.get(name, ""), new=wanted.nginx.get(name, ""))
        for name in changed
    ) or (Change(what="configuration", where="nginx/", old=world.nginx_folder, new=wanted.nginx_folder),)


def _routes(current: Release | None, wanted: Release) -> tuple[Change, ...]:
    old = current.routes if current else wanted.routes
    return tuple(
        Change(what="configuration", where=path, old=old.get(path, ""), new=wanted.routes.get(path, ""))
        for path in sorted(old.keys() | wanted.routes.keys())
        if old.get(path) != wanted.routes.get(path)
    )


def _gone() -> tuple[Change, ...]:
    return (Change(what="container", where="", old="running", new="no service of the compose file"),)


def _is_new(old: ServiceRelease | None, wanted: ServiceRelease) -> bool:
    return old is None or old.image_id != wanted.image_id


def _whole(wanted: ServiceRelease) -> str:
    """All of a service in a few letters, so that approval is bound to it where there is nothing to compare it with."""
    settings = hashlib.sha256(repr(sorted(wanted.settings.items())).encode()).hexdigest()
    return f"{wanted.reference} ({wanted.image_id[7:19]}, settings {settings[:8]})"


def _remarks(services: Sequence[ServicePlan]) -> list[str]:
    found = []
    for each in services:
        if each.action is Action.REPLACE:
            found.append(
                f"{each.service} is away for some seconds: {each.strategy or 'it'} stops the old one before the new one starts."
            )
    return found
