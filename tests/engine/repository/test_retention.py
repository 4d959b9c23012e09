"""Retention: what stays and why, stated against literals, and what must hold for any history."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config.settings import Retention
from engine.repository.keys import SetKey
from engine.repository.retention import Decision, clock_doubt, decide
from engine.repository.stored import StoredSet
from engine.repository.verdicts import State
from tests.engine.repository.made import NOW, a_stored_set, when

DAY = timedelta(days=1)


def nightly(count: int, state: State = "proven", until: str = "2026-02-07 17:00") -> list[StoredSet]:
    """`count` sets, one a backup run, newest first."""
    return [a_stored_set(f"{when(until) - n * DAY:%Y-%m-%d %H:%M}", state) for n in range(count)]


def kept(decisions: tuple[Decision, ...]) -> dict[str, tuple[str, ...]]:
    return {f"{one.set.created:%m-%d}": one.reasons for one in decisions if one.keep}


def gone(decisions: tuple[Decision, ...]) -> dict[str, tuple[str, ...]]:
    return {f"{one.set.created:%m-%d}": one.reasons for one in decisions if not one.keep}


def test_by_age() -> None:
    decisions = decide(nightly(9), Retention(days=7, minimum=1), NOW)
    assert kept(decisions) == {
        "02-07": ("newest proven", "younger than 7 days", "the one kept at least"),
        **{f"02-0{day}": ("younger than 7 days",) for day in range(6, 0, -1)},
    }
    assert gone(decisions) == {"01-31": ("older than 7 days",), "01-30": ("older than 7 days",)}


def test_the_age_of_a_set_is_exact() -> None:
    sets = [a_stored_set("2026-02-07 17:00", "proven"), a_stored_set("2026-01-31 18:00", "proven")]
    policy = Retention(days=7, minimum=1)
    assert [one.keep for one in decide(sets, policy, when("2026-02-07 17:59"))] == [True, True]
    assert [one.keep for one in decide(sets, policy, when("2026-02-07 18:00"))] == [True, False]


def test_by_count() -> None:
    decisions = decide(nightly(6), Retention(days=0, last=4, minimum=2), NOW)
    assert kept(decisions) == {
        "02-07": ("newest proven", "one of the newest 4", "one of the 2 kept at least"),
        "02-06": ("one of the newest 4", "one of the 2 kept at least"),
        "02-05": ("one of the newest 4",),
        "02-04": ("one of the newest 4",),
    }
    assert gone(decisions)["02-03"] == (
        "older than 0 days",
        "newer sets have its last, daily, weekly and monthly places",
    )


def test_grandfather_father_son() -> None:
    history = nightly(100)  # back to 2025-10-31
    decisions = decide(history, Retention(days=0, daily=3, weekly=3, monthly=3, minimum=1), NOW)
    assert kept(decisions) == {
        "02-07": (
            "newest proven",
            "daily 2026-02-07",
            "weekly 2026-W06",
            "monthly 2026-02",
            "the one kept at least",
        ),
        "02-06": ("daily 2026-02-06",),
        "02-05": ("daily 2026-02-05",),
        "02-01": ("weekly 2026-W05",),
        "01-31": ("monthly 2026-01",),
        "01-25": ("weekly 2026-W04",),
        "12-31": ("monthly 2025-12",),
    }


def test_the_week_of_new_year_is_one_week() -> None:
    sets = [a_stored_set(f"2026-01-0{day} 17:00", "proven") for day in (5, 4, 1)]
    sets += [a_stored_set(f"2025-12-{day} 17:00", "proven") for day in (29, 28)]
    decisions = decide(sets, Retention(days=0, weekly=3, minimum=1), when("2026-01-05 18:00"))
    assert [(f"{one.set.created:%m-%d}", one.reasons[-1]) for one in decisions if one.keep] == [
        ("01-05", "the one kept at least"),
        ("01-04", "weekly 2026-W01"),
        ("12-28", "weekly 2025-W52"),
    ]


def test_days_without_a_set_take_no_place() -> None:
    sets = [a_stored_set(f"2026-02-0{day} 17:00", "verified") for day in (7, 3, 1)]
    decisions = decide(sets, Retention(days=0, daily=2, minimum=1), NOW)
    assert list(kept(decisions)) == ["02-07", "02-03"]


def test_the_newest_good_set_outlives_everything_newer_that_is_not() -> None:
    sets = [a_stored_set("2025-06-01", "verified"), *nightly(40, "recorded")]
    decisions = decide(sets, Retention(days=7, last=2, daily=2, weekly=2, monthly=2, minimum=1), NOW)
    assert kept(decisions)["06-01"][0] == "newest verified"


def test_the_newest_proven_set_stays_beside_newer_verified_ones() -> None:
    sets = [
        *nightly(5, "verified"),
        a_stored_set("2026-01-01", "proven"),
        a_stored_set("2025-12-31", "proven"),
    ]
    decisions = decide(sets, Retention(days=2, minimum=2), NOW, allow_clock_jump=True)
    assert kept(decisions)["02-07"][0] == "newest verified"
    assert kept(decisions)["01-01"] == ("newest proven",)
    assert "12-31" in gone(decisions)


def test_failed_sets_fill_no_place_and_displace_nothing() -> None:
    sets = [*nightly(3, "failed"), *nightly(3, "proven", until="2026-02-04 17:00")]
    decisions = decide(sets, Retention(days=1, last=2, minimum=2), NOW)
    assert kept(decisions) == {
        "02-07": ("younger than 1 day", "failed, and no newer set is good"),
        "02-06": ("failed, and no newer set is good",),
        "02-05": ("failed, and no newer set is good",),
        "02-04": ("newest proven", "newer sets failed", "one of the newest 2", "one of the 2 kept at least"),
        "02-03": ("one of the newest 2", "one of the 2 kept at least"),
    }


def test_failed_sets_go_by_age_once_a_newer_one_is_good() -> None:
    sets = [a_stored_set("2026-02-07 17:00", "proven"), *nightly(3, "failed", until="2026-02-06 17:00")]
    decisions = decide(sets, Retention(days=2, last=50, daily=50, weekly=50, monthly=50, minimum=50), NOW)
    assert kept(decisions)["02-06"] == ("younger than 2 days",)
    assert gone(decisions) == {
        "02-05": ("older than 2 days", "failed, and a newer set is good"),
        "02-04": ("older than 2 days", "failed, and a newer set is good"),
    }


def test_a_store_where_nothing_is_ever_verified_does_not_grow_for_ever() -> None:
    decisions = decide(nightly(40, "recorded"), Retention(days=7, minimum=3), NOW)
    assert len(kept(decisions)) == 7
    decisions = decide(nightly(40, "recorded"), Retention(days=0, minimum=3), NOW)
    assert list(kept(decisions)) == ["02-07", "02-06", "02-05"]


def test_nothing_to_judge() -> None:
    assert decide([], Retention(), NOW) == ()


# --- the clock


def test_a_clock_that_went_back_prunes_nothing() -> None:
    now = when("2026-02-07 16:49")
    decisions = decide(nightly(40), Retention(days=7), now)
    assert gone(decisions) == {}
    assert decisions[0].reasons == (
        "the clock went back: the newest set or verdict is dated 2026-02-07 17:00 UTC and it is "
        "2026-02-07 16:49 UTC; nothing is pruned; set the clock, or pass allow_clock_jump=True (--even-so) "
        "to prune all the same",
    )
    assert len(gone(decide(nightly(40), Retention(days=7), now + timedelta(minutes=1)))) == 32
    assert len(gone(decide(nightly(40), Retention(days=7), now, allow_clock_jump=True))) == 32


def test_a_clock_that_jumped_a_week_prunes_nothing() -> None:
    edge = when("2026-02-14 17:00")
    assert len(gone(decide(nightly(40), Retention(days=7), edge))) == 37
    decisions = decide(nightly(40), Retention(days=7), edge + timedelta(seconds=1))
    assert gone(decisions) == {}
    assert (
        decisions[0]
        .reasons[0]
        .startswith("the newest set is 7 days old: backups have stopped or the clock jumped; nothing is pruned")
    )
    assert len(gone(decide(nightly(40), Retention(days=7), edge + 300 * DAY, allow_clock_jump=True))) == 37


def test_a_backup_made_after_the_jump_does_not_vouch_for_the_clock() -> None:
    jumped = [*nightly(3, "recorded", until="2030-02-07 17:00"), *nightly(40)]
    decisions = decide(jumped, Retention(days=7), when("2030-02-07 18:00"))
    assert gone(decisions) == {}
    assert (
        decisions[0].reasons[0].startswith("nothing was stored between 2026-02-07 17:00 UTC and 2030-02-05 17:00 UTC: ")
    )


def test_a_gap_is_forgotten_after_a_week_of_backups() -> None:
    history = [*nightly(8), *nightly(30, until="2026-01-01 17:00")]
    assert clock_doubt([one.created for one in history], NOW) is None
    assert clock_doubt([one.created for one in history[1:]], NOW - DAY) is not None


def test_verdicts_fill_a_gap_that_pruning_made_but_are_no_backups() -> None:
    kept_monthly = [when("2026-02-07 17:00"), when("2026-02-06 17:00"), when("2026-01-07 17:00")]
    nightly_drills = [NOW - n * DAY for n in range(40)]
    assert clock_doubt(kept_monthly, NOW) is not None
    assert clock_doubt(kept_monthly, NOW, nightly_drills) is None
    stopped = clock_doubt(kept_monthly[2:], NOW, nightly_drills)
    assert stopped is not None
    assert stopped.startswith("the newest set is 31 days old: backups have stopped")
    back = clock_doubt(kept_monthly, NOW, [NOW + DAY])
    assert back is not None
    assert back.startswith("the clock went back: the newest set or verdict is dated 2026-02-08 18:00 UTC")


def test_weekly_backups_may_be_late() -> None:
    weekly = [when("2026-02-07 21:00"), when("2026-01-31 17:00"), when("2026-01-24 17:00")]
    assert clock_doubt(weekly, NOW + timedelta(hours=4)) is None


def test_an_empty_store_is_no_reason_to_doubt() -> None:
    assert clock_doubt([], NOW) is None
    assert clock_doubt([], NOW, [NOW - 300 * DAY]) is None


# --- what must hold for any history

STATES: list[State] = ["recorded", "verified", "proven", "failed"]
states = st.sampled_from(STATES)
small = st.integers(0, 6)
policies = st.builds(
    Retention,
    days=st.integers(0, 60),
    last=small,
    daily=small,
    weekly=small,
    monthly=small,
    minimum=st.integers(1, 6),
)


@st.composite
def histories(draw: st.DrawFn) -> list[StoredSet]:
    hours = draw(st.lists(st.integers(0, 24 * 400), max_size=40, unique=True))
    made = []
    for number, ago in enumerate(hours):
        at = NOW - timedelta(hours=ago)
        key = SetKey("platform", "cluster", "", f"{at:%Y%m%dT%H%M%SZ}-{number:04}")
        made.append(StoredSet(key, at, draw(states), 1, 3))
    return made


def good(sets: list[StoredSet]) -> list[StoredSet]:
    return sorted(
        (one for one in sets if one.state in ("verified", "proven")),
        key=lambda one: one.created,
        reverse=True,
    )


def staying(sets: list[StoredSet], policy: Retention, now: datetime = NOW) -> list[StoredSet]:
    return [one.set for one in decide(sets, policy, now, allow_clock_jump=True) if one.keep]


@given(histories(), policies)
def test_every_set_is_judged_once_with_a_reason_newest_first(sets: list[StoredSet], policy: Retention) -> None:
    decisions = decide(sets, policy, NOW, allow_clock_jump=True)
    assert [one.set for one in decisions] == sorted(sets, key=lambda one: one.created, reverse=True)
    assert all(one.reasons and all(one.reasons) for one in decisions)


@given(histories(), policies)
def test_the_newest_good_and_the_newest_proven_stay(sets: list[StoredSet], policy: Retention) -> None:
    stays = staying(sets, policy)
    assert set(good(sets)[:1]) <= set(stays)
    assert {one for one in good(sets) if one.state == "proven"} == set() or any(one.state == "proven" for one in stays)


@given(histories(), policies)
def test_never_below_the_minimum_of_good_sets(sets: list[StoredSet], policy: Retention) -> None:
    assert good(staying(sets, policy))[: policy.minimum] == good(sets)[: policy.minimum]


@given(histories(), policies, histories())
def test_what_is_not_good_never_costs_a_good_set_its_place(
    sets: list[StoredSet], policy: Retention, others: list[StoredSet]
) -> None:
    bad = [one for one in others if one.state in ("recorded", "failed")]
    only_good = good(sets)
    assert good(staying([*only_good, *bad], policy)) == good(staying(only_good, policy))


@given(histories(), policies)
def test_failed_sets_change_nothing_for_the_others(sets: list[StoredSet], policy: Retention) -> None:
    others = [one for one in sets if one.state != "failed"]
    assert [one for one in staying(sets, policy) if one.state != "failed"] == staying(others, policy)


@given(histories(), policies)
def test_failed_sets_go_by_age_and_never_before_a_newer_good_one(sets: list[StoredSet], policy: Retention) -> None:
    stays = staying(sets, policy)
    newest = good(sets)[0].created if good(sets) else None
    for one in sets:
        if one.state == "failed":
            old = NOW - one.created >= timedelta(days=policy.days)
            assert (one in stays) == (not old or newest is None or newest < one.created)


@given(histories(), policies)
def test_young_sets_stay(sets: list[StoredSet], policy: Retention) -> None:
    young = {one for one in sets if NOW - one.created < timedelta(days=policy.days)}
    assert young <= set(staying(sets, policy))


@given(histories(), policies)
def test_pruning_again_prunes_nothing_more(sets: list[StoredSet], policy: Retention) -> None:
    stays = staying(sets, policy)
    assert staying(stays, policy) == stays


@given(histories(), policies, policies)
def test_a_wider_policy_keeps_no_less(sets: list[StoredSet], one: Retention, other: Retention) -> None:
    wider = Retention(**{name: max(value, getattr(other, name)) for name, value in one})
    assert set(staying(sets, one)) <= set(staying(sets, wider))


@given(histories(), policies, st.integers(0, 24 * 60))
def test_a_doubted_clock_prunes_nothing(sets: list[StoredSet], policy: Retention, hours: int) -> None:
    times = [one.created for one in sets]
    for now in (NOW + timedelta(hours=hours), NOW - timedelta(hours=hours)):
        if times and (now - max(times) > 7 * DAY or max(times) - now > timedelta(minutes=10)):
            assert all(one.keep for one in decide(sets, policy, now))


@settings(max_examples=30)
@given(policies, st.sampled_from(["recorded", "verified", "proven"]))
def test_backup_runs_on_end_lead_where_one_look_at_all_of_them_does(policy: Retention, state: State) -> None:
    history = nightly(70, state)
    stored: list[StoredSet] = []
    for one in reversed(history):
        stored = staying([one, *stored], policy, one.created + timedelta(hours=1))
    assert set(stored) == set(staying(history, policy))
