"""The order of a change, and what all of it has in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.errors import OperationFailed
from engine.progress import Progress
from engine.releases.journal import ACCEPT, Journal, close_journal, write_journal
from engine.releases.plan import NGINX, OF_EARLIER, Action
from engine.releases.records import accept, forget_migrated, give_back
from engine.releases.rollout.context import Context
from engine.releases.rollout.migrating import Migrations
from engine.releases.rollout.part import Part
from engine.releases.rollout.placing import Placing
from engine.releases.rollout.replacing import Replacing
from engine.releases.rollout.rolling import Rolling
from engine.releases.site import ENV


@dataclass(frozen=True, slots=True)
class Rollout:
    """One plan under way."""

    context: Context

    afterwards: Sequence[Part] = ()
    """What follows when the release was accepted and the old ones have stopped."""

    def parts(self) -> tuple[Part, ...]:
        """The steps in their order; what comes before `accept` is reverted when it fails, what comes after is finished."""
        context, found = self.context, [Placing(self.context).part()]
        migrations, replacing, rolling = Migrations(context), Replacing(context), Rolling(context)
        for name in context.model.in_order(context.starting):
            if name != NGINX:
                found += [*migrations.parts([name]), replacing.part(name)]  # after what it needs has started
        found += [*migrations.parts(context.rolling), *rolling.parts(switch=bool(context.plan.nginx))]
        if NGINX in context.starting:
            found.append(replacing.part(NGINX))
        found += [Part("smoke", "ask every route", self._smoke), *rolling.watching()]
        found += [Part(ACCEPT, "record the release", self._accept), *rolling.ending()]
        found += [replacing.removing(name) for name in context.plan.of(Action.REMOVE)]
        return (*found, *self.afterwards)

    @property
    def journal(self) -> Journal:
        return self.context.journal

    def begins(self, part: Part) -> None:
        """On the host first: what is there is what the next run believes."""
        journal = self.context.journal.begins(part.name)
        write_journal(self.context.site, journal)
        self.context.journal = journal

    def ended(self, part: Part) -> None:
        """Written when the next one begins: what was done already can be done again."""
        self.context.journal = self.context.journal.ended(part.name)

    def close(self) -> None:
        """Nothing is left to finish or to revert."""
        close_journal(self.context.site)

    def _smoke(self, progress: Progress) -> None:
        self.context.smoke = self.context.probes.smoke(self.context.ill_before)
        wrong = {
            path: f"{path} answers {status or 'nothing'}: {why}" for path, status, why in self.context.smoke if why
        }
        if new := [what for path, what in wrong.items() if not self._was_ill(path)]:
            raise OperationFailed(f"The smoke test failed: {'; '.join(new)}")
        self.context.notes += [f"It was so before this change already: {what}" for what in wrong.values()]
        progress(f"{len(self.context.smoke)} routes answer")

    def _was_ill(self, path: str) -> bool:
        """What was ill before, and is of a service that does not change, keeps no release from coming, and no rollback.
        Nothing is known of how a route was before that nginx did not have, or that is asked otherwise."""
        plan = self.context.plan
        changing = {each.service for each in plan.changing}
        same = not plan.nginx and path not in {each.where for each in plan.routes}
        return same and path in self.context.ill_before and self.context.model.routes[path].service not in changing

    def _accept(self, progress: Progress) -> None:
        del progress
        accept(self.context.site, self.context.staged.release)
        if self.context.plan.operation not in OF_EARLIER:
            forget_migrated(self.context.site)  # the release remembers them now
        env = self.context.site.must_read(self.context.site.release(self.context.staged.release.id, ENV))
        files = self.context.compose.files
        named = f"COMPOSE_PROJECT_NAME={self.context.compose.project}\nCOMPOSE_FILE={':'.join(files)}\n"
        self.context.site.write(ENV, env + named.encode())

    def revoke(self) -> None:
        """The release did not come to be: its files go, after the journal that names them."""
        Migrations(self.context).remember()
        self.close()
        give_back(self.context.site, self.context.staged.release.id)
