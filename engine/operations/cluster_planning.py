"""What a change of an application in a cluster would do: rendered, tried as a dry run, and put as a plan."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from engine.errors import ConfigurationError
from engine.kubernetes import rights
from engine.kubernetes.application import (
    Wanted,
    dry_run,
    left_by_others,
    objects_of_revision,
    placed_objects,
    resources_of,
    wanted_objects,
)
from engine.kubernetes.connection import Connection
from engine.kubernetes.objects import DEPLOYMENTS, Object, Resource, images_of, name_of
from engine.kubernetes.plan import ClusterPlan
from engine.kubernetes.rollout import revision_of


@dataclass(frozen=True)
class Planned:
    """The plan, and the objects it is about."""

    plan: ClusterPlan
    wanted: Sequence[Wanted]

    @property
    def deployment(self) -> Wanted:
        """The one whose image is set."""
        return _deployment_of(self.wanted, self.plan.deployment)


@dataclass
class Planning:
    """`version` is the image's tag, '' the one that runs; `to_revision` 0 is the one before."""

    connection: Connection
    operation: str
    version: str = ""
    to_revision: int = 0
    _first: list[Object] = field(default_factory=list)
    """What was rendered to ask for rights: the first plan is made of it."""

    def check(self) -> None:
        """Raises Forbidden, with all rights that lack."""
        kinds: Sequence[Resource] = ()
        if self.operation == "deploy":
            with ThreadPoolExecutor(1) as pool:  # another program renders: the client is loaded meanwhile
                opened = pool.submit(lambda: self.connection.client)
                self._first = placed_objects(self.connection)
                opened.result()
            kinds = resources_of(self.connection, self._first)
        rights.require(self.connection, rights.to_change(kinds, smoke=bool(self.connection.settings.smoke)))

    def look(self) -> Planned:
        """The world as it is now, and what would be done to it; nothing is changed.

        Raises:
            ConfigurationError: what is wanted is not there, or migrations would be run in production without a backup.
            Dirty: a migration failed before.
        """
        if self.operation == "rollback":
            objects, to_revision, remark = objects_of_revision(self.connection, self.to_revision)
            wanted = dry_run(self.connection, objects)
            deployment = _deployment_of(wanted, self.connection.settings.deployment)
            remarks = tuple(filter(None, (remark, left_by_others(deployment))))
            return Planned(self._plan(wanted, remarks, to_revision), wanted)
        placed, self._first = self._first or placed_objects(self.connection), []
        wanted = dry_run(self.connection, wanted_objects(self.connection, placed, self.version))
        return Planned(self._plan(wanted), wanted)

    def _plan(self, wanted: Sequence[Wanted], remarks: tuple[str, ...] = (), to_revision: int = 0) -> ClusterPlan:
        migrations, settings = self._due(), self.connection.settings
        deployment = _deployment_of(wanted, settings.deployment)
        return ClusterPlan(
            operation=self.operation,
            cluster=self.connection.name,
            namespace=self.connection.namespace,
            environment=settings.environment,
            deployment=settings.deployment,
            objects=tuple(each.plan() for each in wanted),
            images=images_of(deployment.made),
            images_before=images_of(deployment.live) if deployment.live else {},
            revision=revision_of(deployment.live) if deployment.live else 0,
            to_revision=to_revision,
            migrations=migrations,
            backup=(settings.backup or "") if migrations else "",
            remarks=remarks,
        )

    def _due(self) -> dict[str, str]:
        settings = self.connection.settings
        if self.operation != "deploy" or settings.migrations is None:
            return {}
        from engine.operations.cluster_migration import due  # psycopg, which most deploys do without

        found = due(settings, settings.migrations)
        if found and not settings.backup and settings.environment == "production":
            raise ConfigurationError(
                f"{', '.join(found)} would be run, and nothing is backed up before it: name `backup` in "
                f"[clusters.{self.connection.name}]."
            )
        return found


def _deployment_of(wanted: Sequence[Wanted], name: str) -> Wanted:
    return next(each for each in wanted if each.resource == DEPLOYMENTS and name_of(each.body) == name)
