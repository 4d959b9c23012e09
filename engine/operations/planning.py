"""What a change of a platform would lead to, and by which plan. Nothing that runs changes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from engine.errors import ConfigurationError, PlatformOpsError
from engine.operations.platform_state import require_known
from engine.progress import Progress
from engine.releases import records
from engine.releases.plan import OF_EARLIER, Plan, World, make_plan
from engine.releases.platform import Platform
from engine.releases.release import Release
from engine.releases.staging import Staged, from_folder, from_release, restage, stage, with_versions

EVERYTHING = "*"
"""In the place of a service: all of them."""


@dataclass(frozen=True, slots=True)
class Planning:
    """`versions` are by service; a service without one keeps its own. `with_databases`: they go back as well."""

    platform: Platform
    operation: str
    versions: Mapping[str, str]
    with_databases: bool = False

    def stage(self, progress: Progress) -> Staged:
        """The release that is wanted, in a folder of its own.

        Raises:
            ConfigurationError: the files, a version or an image are not what they have to be.
        """
        site, docker = self.platform.site, self.platform.docker
        current = records.current(site)
        versions = {name: version for name, version in self.versions.items() if version}
        if self.operation == "rollback":
            return self._still_there(records.last_good(site))
        if self.operation in ("update", "restart") and current is None:
            raise ConfigurationError(f"Nothing was deployed to {self.platform.name} yet; deploy it first.")
        if self.operation == "restart" and current is not None:
            return self._still_there(current)
        if self.operation == "update" and current is not None:
            references = {name: each.reference for name, each in current.services.items()}
            origin = with_versions(from_release(site, current.id), versions, references)
            return stage(site, docker, self.platform.name, origin, progress, current)
        origin = with_versions(from_folder(site), versions, {})
        return stage(site, docker, self.platform.name, origin, progress)

    def _still_there(self, release: Release) -> Staged:
        """An earlier release, whose images somebody may have removed: that is to be known before anything stops."""
        there = self.platform.docker.image_ids([each.image for each in release.services.values()])
        if gone := [name for name, each in release.services.items() if each.image_id not in there]:
            lost = release.services[gone[0]]
            raise ConfigurationError(
                f"The image {lost.image} of {gone[0]} is not on the host any more; deploy {lost.reference} again."
            )
        return restage(self.platform.site, self.platform.docker, release)

    def plan(self, staged: Staged) -> Plan:
        """The way from what is to what was staged.

        Raises:
            ConfigurationError: the platform may not be changed so.
        """
        world = self.platform.look()
        self._require_ours(world)
        chosen = self._chosen(staged)
        backup = (
            (self.platform.settings.backup or "") if self.operation in ("deploy", "update") and world.current else ""
        )
        plan = make_plan(self.operation, staged.model, staged.release, world, backup=backup, chosen=chosen)
        self._require_allowed(plan, world, staged.release)
        return plan

    def _require_ours(self, world: World) -> None:
        there, ours = self.platform.site.directory, self.platform.settings.project
        folders = {each.folder for several in world.containers.values() for each in several}
        # Compose by hand takes the folder of the first file that .env names: of a release.
        if foreign := sorted(
            each for each in folders if each and each != there and not each.startswith(f"{there}/run/")
        ):
            raise ConfigurationError(
                f"The containers of the project {ours} on this host belong to the folder {foreign[0]}, not to {there}; give "
                f"[platforms.{self.platform.name}] a `project` of its own, or the folder as it is written there."
            )

    def _require_allowed(self, plan: Plan, world: World, wanted: Release) -> None:
        if plan.breaking and not plan.backup and world.current:
            raise ConfigurationError(
                f"The migration of {', '.join(plan.breaking)} is breaking, and nothing is backed up before it: name `backup` in "
                f"[platforms.{self.platform.name}]."
            )
        if self.with_databases or world.current is None:
            return
        names = ", ".join(world.current.breaking if self.operation == "rollback" else self._before_breaking(wanted))
        if names:
            raise ConfigurationError(
                f"Release {world.current.id} runs after the database of {names} was migrated so that the version before cannot use "
                "it: images alone cannot go back. `platformctl rollback-db` goes back with the databases that were taken before it "
                "(docs/rollback.md)."
            )

    def _before_breaking(self, wanted: Release) -> tuple[str, ...]:
        """The services whose wanted image is from before a breaking migration that a release on this host made."""
        good = [each for each in records.releases(self.platform.site) if each.state == "good"]
        return tuple(
            dict.fromkeys(
                name
                for release in good
                for name in release.breaking
                for old in good
                if old.id < release.id and name in old.services and name in wanted.services
                if old.services[name].image_id == wanted.services[name].image_id
            )
        )

    def _chosen(self, staged: Staged) -> frozenset[str]:
        """What is started anew though nothing differs."""
        if self.operation != "restart":
            return frozenset()
        named = [name for name in self.versions if name != EVERYTHING]
        return frozenset(require_known(staged, named))

    def forget(self, staged: Staged) -> None:
        """Remove what was staged and is not wanted after all."""
        if self.operation not in OF_EARLIER:
            with suppress(PlatformOpsError):
                records.give_back(self.platform.site, staged.release.id)
