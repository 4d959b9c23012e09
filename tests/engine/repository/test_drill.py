"""The drill's frame: which verdict follows from what a kind's own proof did, and what the verdict quotes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from engine.errors import ConfigurationError, CouldNotVerify, DamagedSet, OperationFailed, TransientFailure
from engine.repository.body import Body
from engine.repository.catalogue import catalogue
from engine.repository.drill import Prove, drill
from engine.repository.findings import Compared, Difference, DrillResult, Findings
from engine.repository.keys import SetKey
from engine.repository.manifest import to_json
from engine.repository.repository import Repository
from engine.repository.verdicts import read_verdict, remarks
from tests.engine.repository.made import MemoryStore, a_body, a_key, store_set, write

KEY = a_key("2026-02-07 17:00", "app")
FILES = {"app.dump.gz": b"dump" * 500, "proof.json.gz": b"proof"}
APP = Compared(name="app", differences=0, counts={"table": 1, "row": 1204, "large object": 0}, restore_seconds=1.5)
ROW = Difference(where="app", kind="table", name="public.people", expected="2 rows", found="1 row of Alice")


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    store_set(made, KEY, FILES)
    return made


@pytest.fixture
def repository(store: MemoryStore) -> Repository:
    return Repository(store)


def proves(body: Body, findings: Findings) -> None:
    """A proof that finds all as it was."""
    del body
    findings.noun = "database"
    findings.compared = (APP,)
    findings.restored()


def finds(*differences: Difference) -> Prove:
    def prove(body: Body, findings: Findings) -> None:
        proves(body, findings)
        findings.differences = differences

    return prove


def raises(error: BaseException, first: Callable[[], object] = lambda: None) -> Prove:
    """A proof that has compared something, and then ends."""

    def prove(body: Body, findings: Findings) -> None:
        proves(body, findings)
        first()
        raise error

    return prove


def never(body: Body, findings: Findings) -> None:
    raise AssertionError("nothing was to be restored")


def replaced(store: MemoryStore, key: SetKey = KEY, **message: object) -> None:
    """Write the set's manifest anew with something else in it."""
    write(store, key.manifest, to_json(Repository(store), a_body(key, FILES).model_copy(update=message)))


def state(repository: Repository) -> tuple[str, str]:
    """What a listing says of the set, and the word of its newest verdict."""
    found = catalogue(repository)
    return found.sets[0].state, found.verdicts[-1].result


def verdict(repository: Repository) -> dict[str, object]:
    """The one verdict that is stored."""
    (key,) = catalogue(repository).verdicts
    return read_verdict(repository, key)


# --- what follows


def test_what_came_back_equal_is_proven(repository: Repository) -> None:
    began = datetime.now(UTC)
    result = drill(repository, KEY, proves)
    assert (result.result, result.verdict) == ("passed", "passed")
    assert result.sentence == "1 database, 1 table and 1,204 rows came back equal"
    assert (result.set_key, result.stored_bytes, result.compared) == (str(KEY), 2005, (APP,))
    assert result.rto_seconds is not None
    assert 0 <= result.rto_seconds <= result.seconds
    assert timedelta(seconds=result.rpo_seconds) - (began - KEY.created) < timedelta(seconds=10)
    assert state(repository) == ("proven", "passed")


def test_the_proof_is_given_the_checked_manifest(repository: Repository) -> None:
    seen: list[Body] = []
    drill(repository, KEY, lambda body, findings: seen.append(body))
    assert seen == [a_body(KEY, FILES)]


def test_what_differs_is_a_failed_set(repository: Repository) -> None:
    result = drill(repository, KEY, finds(ROW, ROW))
    assert (result.result, result.verdict, result.differences) == ("failed", "failed", (ROW, ROW))
    assert result.sentence == (
        "platform/db/app/20260207T170000Z-abcd1234 does not restore to what was backed up: 2 differences, first table "
        "public.people of app; use another set and look into this one."
    )
    assert state(repository) == ("failed", "failed")


def test_what_differs_outside_of_all_parts_is_said_of_the_source(repository: Repository) -> None:
    result = drill(repository, KEY, finds(ROW.model_copy(update={"where": "", "kind": "role", "name": "mallory"})))
    assert "1 difference, first role mallory of the source itself;" in result.sentence


def test_of_many_differences_200_are_kept_and_all_are_counted(repository: Repository) -> None:
    result = drill(repository, KEY, finds(*[ROW] * 201))
    assert len(result.differences) == 200
    assert "201 differences" in result.sentence


def test_a_sample_that_is_equal_proves_nothing(store: MemoryStore, repository: Repository) -> None:
    replaced(store, sample_percent=5)
    result = drill(repository, KEY, proves)
    assert (result.result, result.verdict, result.sample_percent) == ("sampled", "sampled", 5)
    assert result.sentence == (
        "1 database, 1 table and 1,204 rows came back; all of it was counted, but only 5 % was compared, and is equal: "
        "a sample does not prove the set"
    )
    assert state(repository) == ("recorded", "sampled")


def test_a_sample_that_differs_has_failed_all_the_same(store: MemoryStore, repository: Repository) -> None:
    replaced(store, sample_percent=5)
    assert drill(repository, KEY, finds(ROW)).result == "failed"
    assert state(repository) == ("failed", "failed")


def test_a_set_that_says_what_it_lacks_is_proven_and_incomplete(store: MemoryStore, repository: Repository) -> None:
    replaced(store, missing=("tablespace fast",))
    result = drill(repository, KEY, proves)
    assert (result.result, result.verdict, result.missing) == ("passed", "incomplete", ("tablespace fast",))
    assert result.sentence == ("1 database, 1 table and 1,204 rows came back equal; not in the set: tablespace fast")
    assert state(repository) == ("proven", "incomplete")
    assert remarks(catalogue(repository).verdicts) == {KEY: "incomplete"}


def test_what_the_drill_saw_that_is_lacking_counts_too(store: MemoryStore, repository: Repository) -> None:
    replaced(store, missing=("tablespace fast",))

    def prove(body: Body, findings: Findings) -> None:
        proves(body, findings)
        findings.lacking = ("members of postgis",)

    assert drill(repository, KEY, prove).missing == ("tablespace fast", "members of postgis")
    assert state(repository) == ("proven", "incomplete")


def test_of_much_that_is_lacking_the_sentence_names_five(store: MemoryStore, repository: Repository) -> None:
    replaced(store, missing=tuple("abcdef"))
    result = drill(repository, KEY, proves)
    assert result.sentence.endswith("; not in the set: a; b; c; d; e ...")
    assert result.missing == tuple("abcdef")


def test_a_sample_of_an_incomplete_set_is_a_sample(store: MemoryStore, repository: Repository) -> None:
    replaced(store, missing=("tablespace fast",), sample_percent=5)
    assert drill(repository, KEY, proves).verdict == "sampled"


# --- who is to blame


def test_a_set_that_does_not_restore_has_failed_with_what_was_seen_until_then(repository: Repository) -> None:
    result = drill(repository, KEY, raises(DamagedSet("pg_restore refused it; use another set.")))
    assert (result.result, result.sentence, result.compared) == (
        "failed",
        "pg_restore refused it; use another set.",
        (APP,),
    )
    assert state(repository) == ("failed", "failed")


def test_a_set_that_went_meanwhile_is_not_blamed(store: MemoryStore, repository: Repository) -> None:
    gone = raises(DamagedSet("a file is not there"), lambda: store.delete(list(store.keys(KEY.prefix))))
    result = drill(repository, KEY, gone)
    assert (result.result, result.sentence) == (
        "unverified",
        "platform/db/app/20260207T170000Z-abcd1234 is not, or no longer, in memory:: it has no manifest, as a set that "
        "was pruned or was never finished; `list` shows those that are stored.",
    )
    (message,) = catalogue(repository).verdicts
    assert (message.set, message.result) == (KEY, "unverified")


def test_a_set_that_never_was_is_unverified(repository: Repository) -> None:
    result = drill(repository, KEY._replace(name="other"), never)
    assert result.result == "unverified"
    assert "it has no manifest" in result.sentence
    assert (result.stored_bytes, result.rto_seconds, result.compared) == (0, None, ())


def test_where_nobody_can_say_whether_the_set_is_there_it_is_not_blamed() -> None:
    class Away(MemoryStore):
        away = False

        def keys(self, prefix: str = "") -> Iterator[str]:
            if self.away:
                self.away = False
                raise TransientFailure("the store cannot be reached")
            return super().keys(prefix)

    store = Away()
    store_set(store, KEY, FILES)
    lost = raises(DamagedSet("a file is not there"), lambda: setattr(store, "away", True))
    result = drill(Repository(store), KEY, lost)
    assert (result.result, result.sentence) == ("unverified", "the store cannot be reached")


@pytest.mark.parametrize(
    "error",
    [
        CouldNotVerify("No private key is here."),
        OperationFailed("the disk is full"),
        ConfigurationError("there is no such container"),
        TransientFailure("reset by peer"),
    ],
)
def test_what_could_not_be_shown_is_not_held_against_the_set(repository: Repository, error: OperationFailed) -> None:
    result = drill(repository, KEY, raises(error))
    assert (result.result, result.sentence, result.compared) == ("unverified", str(error), (APP,))
    assert state(repository) == ("recorded", "unverified")


def test_differences_seen_before_it_ended_early_do_not_fail_the_set(repository: Repository) -> None:
    def prove(body: Body, findings: Findings) -> None:
        findings.differences = (ROW,)
        raise CouldNotVerify("the scratch server was killed")

    result = drill(repository, KEY, prove)
    assert (result.result, result.differences) == ("unverified", (ROW,))


def test_an_error_of_the_program_itself_is_no_verdict(repository: Repository) -> None:
    with pytest.raises(ZeroDivisionError):
        drill(repository, KEY, raises(ZeroDivisionError()))
    assert catalogue(repository).verdicts == ()


@pytest.mark.parametrize("more", ["099-more.sql.gz", "a b.sql.gz", ".hidden", "deep/more.sql.gz"])
def test_a_file_more_fails_the_set_and_nothing_is_restored(
    store: MemoryStore, repository: Repository, more: str
) -> None:
    store.objects[KEY.prefix + more] = b"DROP DATABASE app"
    result = drill(repository, KEY, never)
    assert (result.result, result.sentence) == (
        "failed",
        f"platform/db/app/20260207T170000Z-abcd1234/{more} in memory: is not in the manifest of its set, and stock "
        "tools would restore it too; use another set, and see who put it there.",
    )
    assert state(repository) == ("failed", "failed")


def test_a_manifest_that_was_edited_fails_the_set_and_nothing_is_restored(
    store: MemoryStore, repository: Repository
) -> None:
    store.objects[KEY.manifest] = store.objects[KEY.manifest].replace(b'"16.2"', b'"17.0"')
    result = drill(repository, KEY, never)
    assert result.result == "failed"
    assert "was changed after it was written" in result.sentence


def test_a_digest_that_cannot_be_judged_is_unverified(store: MemoryStore) -> None:
    result = drill(Repository(store, digest_key="key"), KEY, never)
    assert result.result == "unverified"
    assert "digest_key" in result.sentence


# --- what is written


def test_the_verdict_has_the_evidence_and_becomes_the_result_again(repository: Repository) -> None:
    result = drill(repository, KEY, finds(ROW))
    document = verdict(repository)
    assert (document["set"], document["check"], document["result"]) == (str(KEY), "drill", "failed")
    assert document["sentence"] == result.sentence
    assert DrillResult.of_verdict(document) == result


def test_an_incomplete_verdict_becomes_the_passed_result_again(store: MemoryStore, repository: Repository) -> None:
    replaced(store, missing=("tablespace fast",))
    result = drill(repository, KEY, proves)
    document = verdict(repository)
    assert document["result"] == "incomplete"
    assert DrillResult.of_verdict(document) == result


def test_a_kind_s_remarks_are_kept(repository: Repository) -> None:
    result = drill(repository, KEY, lambda body, findings: findings.remarks.update(scratch="a container"))
    assert result.remarks == verdict(repository)["remarks"] == {"scratch": "a container"}


def test_of_an_encrypted_set_what_differs_is_named_and_not_quoted(store: MemoryStore, repository: Repository) -> None:
    replaced(store, encrypted=True, recipients=("age1one",))
    result = drill(repository, KEY, finds(ROW))
    assert result.differences == (ROW,)  # who runs the drill has the key
    assert verdict(repository)["differences"] == [
        {
            "where": "app",
            "kind": "table",
            "name": "public.people",
            "expected": "(in the encrypted set)",
            "found": "(see the run's own report)",
        }
    ]
    assert not [key for key, data in store.objects.items() if b"Alice" in data]


def test_of_a_plain_set_what_differs_is_quoted(store: MemoryStore, repository: Repository) -> None:
    drill(repository, KEY, finds(ROW))
    assert [key for key, data in store.objects.items() if b"Alice" in data] == [str(catalogue(repository).verdicts[0])]


def test_a_drill_s_verdict_is_sealed(store: MemoryStore) -> None:
    with_key = Repository(store, digest_key="key")
    store_set(store, KEY, FILES, digest_key="key")
    drill(with_key, KEY, proves)
    assert state(with_key) == ("proven", "passed")
    other = catalogue(Repository(store, digest_key="another"))
    assert (other.sets[0].state, other.unsealed) == ("recorded", 1)


def test_a_proof_that_compared_nothing_shows_nothing(repository: Repository) -> None:
    result = drill(repository, KEY, lambda body, findings: None)
    assert (result.result, result.sentence) == (
        "unverified",
        f"{KEY}: nothing of it was compared, so nothing was shown.",
    )
