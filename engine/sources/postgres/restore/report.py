"""The report of a restore into a live server: the plan before it, and what it made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from engine.progress import counted, readable_seconds
from engine.run_state import ENDED_WELL, RunState
from engine.sources.postgres.restore.choice import backup_runs
from engine.words.report import Report, Table
from engine.words.run_report import going_step
from engine.words.wording import readable_time

if TYPE_CHECKING:
    from engine.errors import PlatformOpsError
    from engine.sources.postgres.restore.choice import RestoreChoice
    from engine.sources.postgres.restore.restore import RestoredDatabase

_NAMED = 5


def plan_report(
    server: str,
    choices: Sequence[RestoreChoice],
    in_place: bool,
    live: Sequence[str] = (),
    refused: Sequence[tuple[str, PlatformOpsError]] = (),
    spare: Sequence[str] = (),
) -> Report:
    """What a restore is going to do; in place, `live` are the databases whose place is taken. `refused` are those that
    cannot be restored, `spare` those left out because they hold nothing."""
    return Report(
        title=f"Restore to {server}: the plan",
        sentence=(
            f"{counted(len(choices), 'database')} {_where(len(choices), in_place, len(live))}; each is compared with "
            "its proof before it gets its name."
        ),
        tables=(
            Table(
                "Databases",
                ("database", "as it was on", "state", "set"),
                tuple(
                    (one.database, readable_time(one.key.created), one.state or "-", str(one.key)) for one in choices
                ),
            ),
            _failed(refused),
        ),
        next_steps=(
            *_passed_over(choices),
            *_of_runs(choices),
            *_omitted(spare),
            (
                f"Renamed and kept: {', '.join(live)}. What was written there since the set is only in them."
                if live
                else "Nothing that is live is touched."
            ),
        ),
    )


def _of_runs(choices: Sequence[RestoreChoice]) -> Iterator[str]:
    if (count := backup_runs(choices)) > 1:
        yield (
            f"The sets are of {count} different backups: what one database says of another may not fit. `list` shows "
            "whether one cluster set has all of them; --set takes it."
        )
    if unproven := [one.database for one in choices if one.state in ("recorded", "verified")]:
        more = f" and {len(unproven) - _NAMED} more" if len(unproven) > _NAMED else ""
        yield (
            f"Not proven by a drill: the sets of {', '.join(unproven[:_NAMED])}{more}. --set newest-proven takes the "
            "newest that are."
        )


def _omitted(spare: Sequence[str]) -> Iterator[str]:
    if spare:
        yield f"Left out, since they hold nothing but what every server has: {', '.join(spare)}."


def _failed(failures: Sequence[tuple[str, PlatformOpsError]]) -> Table:
    return Table("Failed", ("database", "why"), tuple((name, str(error)) for name, error in failures))


def _passed_over(choices: Sequence[RestoreChoice]) -> Iterator[str]:
    failed = [str(one.failed) for one in choices if one.failed]
    if failed:
        more = f" and {counted(len(failed) - _NAMED, 'more set')}" if len(failed) > _NAMED else ""
        yield f"Passed over, because it failed: {', '.join(failed[:_NAMED])}{more}; `show` says why."


def _where(databases: int, in_place: bool, live: int) -> str:
    if not in_place:
        return "beside the live ones, under new names"
    names = "under its own name" if databases == 1 else "under their own names"
    if not live:
        return f"{names}, which no live database has"
    return f"{names}, in place of {counted(live, 'live one')}"


def restore_report(
    server: str,
    restored: Sequence[RestoredDatabase],
    seconds: float,
    failures: Sequence[tuple[str, PlatformOpsError]] = (),
    wanted: int = 0,
    state: RunState = ENDED_WELL,
    spare: Sequence[str] = (),
) -> Report:
    """What a restore made, or made so far, and where the old databases are.

    `failures` are errors by database, `wanted` is the number of databases where the run has not ended well. `spare` were
    left out because they hold nothing.
    """
    missing = tuple(dict.fromkeys((one.set_key, what) for one in restored for what in one.missing))
    return Report(
        title=f"Restore to {server}",
        sentence=_sentence(restored, seconds, len(failures), wanted, state),
        tables=(
            _failed(failures),
            _databases(restored),
            _not_as_it_was(restored),
            Table("Not in the sets", ("set", "what"), missing),
        ),
        next_steps=(*_next_steps(restored), *_omitted(spare), *((going_step(),) if state.going else ())),
    )


def _sentence(restored: Sequence[RestoredDatabase], seconds: float, failures: int, wanted: int, state: RunState) -> str:
    if failures and not restored:
        return f"No database was restored{' yet' if state.going else ''}; {failures} failed."
    rows = counted(sum(one.rows for one in restored), "row")
    sampled = any(one.sample_percent < 100 for one in restored)
    before = "Going on: " if state.going else ""
    if state.problem and not failures:
        before = f"Failed: {state.problem} What was restored all the same: "
    databases = counted(len(restored), "database", None if state == ENDED_WELL else wanted)
    return (
        f"{before}{databases} with {rows} restored in {readable_seconds(seconds)}, {_how_equal(restored)}"
        f"{' (only a sample of the rows was compared)' if sampled else ''}"
        f"{f'; {failures} failed' if failures else ''}."
    )


def _how_equal(restored: Sequence[RestoredDatabase]) -> str:
    partly = [one.database for one in restored if not one.is_equal]
    if not partly:
        return "each equal to its proof"
    others = "; each other one is equal to its proof" if len(partly) < len(restored) else ""
    return f"not what was backed up: {', '.join(partly)} (see what did not come back){others}"


def _not_as_it_was(restored: Sequence[RestoredDatabase]) -> Table:
    rows = [(one.database, f"did not come back: {what}") for one in restored for what in one.refused]
    rows += [(one.database, f"is not as it was: {what}") for one in restored for what in one.differences]
    return Table("Not as it was backed up", ("database", "what"), tuple(rows))


def _databases(restored: Sequence[RestoredDatabase]) -> Table:
    return Table(
        "Databases",
        (
            "database",
            "is now",
            "the old one is",
            "tables",
            "rows",
            "time",
            "of it, compared",
            "roles created",
            "set",
        ),
        tuple(
            (
                one.database,
                one.name,
                one.previous or "-",
                f"{one.tables:,}",
                f"{one.rows:,}",
                readable_seconds(one.seconds),
                readable_seconds(one.compare_seconds),
                ", ".join(one.roles_created) or "-",
                one.set_key,
            )
            for one in restored
        ),
        right=("tables", "rows", "time", "of it, compared"),
    )


def _next_steps(restored: Sequence[RestoredDatabase]) -> tuple[str, ...]:
    old = [one.previous for one in restored if one.previous]
    beside = [one.name for one in restored if one.name != one.database]
    steps = list(_of_roles(restored))
    if restored:
        steps.append("A dump carries no planner statistics: run ANALYZE in each, or give autovacuum some minutes.")
    if beside:
        steps.append(
            "The live ones are as they were. What was restored beside them takes its space, and each backup run takes it "
            f"too, until it is renamed or dropped: {_drops(beside)}"
        )
    if old:
        steps.append(
            "Check the applications, then drop the old ones: they take their space, and each backup run takes them too, "
            f"until then: {_drops(old)}"
        )
    return tuple(steps)


def _of_roles(restored: Sequence[RestoredDatabase]) -> Iterator[str]:
    """What has to be done for roles that were created."""
    if without := dict.fromkeys(role for one in restored for role in one.roles_without_password):
        yield (
            f"The sets hold no passwords, and nobody can log in as {', '.join(without)} before each has one: ALTER ROLE ... "
            "PASSWORD, psql's \\password, or the next time --role-password (role_passwords of the server)."
        )
    if lack := tuple(dict.fromkeys(what for one in restored for what in one.roles_lack)):
        more = f" and {len(lack) - _NAMED} more" if len(lack) > _NAMED else ""
        yield f"What this server's role may not give to the roles that were created: {'; '.join(lack[:_NAMED])}{more}."


def _drops(names: Sequence[str]) -> str:
    """Statements to copy."""
    return " ".join(f'DROP DATABASE "{quoted}";' for quoted in (name.replace('"', '""') for name in names))
