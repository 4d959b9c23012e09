"""A backup run from a shell: backup, list, show, verify, drill, prune; by the real command against a real server."""

from __future__ import annotations

import os
import pty
import shutil
import stat
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import psycopg
from pyrage import x25519

from engine.repository.keys import SetKey, new_set_id
from engine.sources.postgres.scratch.instance import Instance
from engine.stores.folder import FolderStore
from tests.engine.cli.command import COMMAND, Answer
from tests.engine.cli.conftest import DATABASE
from tests.engine.cli.site import Site, environment, new_site
from tests.engine.repository.made import store_set


def test_a_backup_stores_a_cluster_set_and_one_set_each(backed_up: tuple[Site, Answer]) -> None:
    site, answer = backed_up
    assert answer.code == 0, answer.stderr
    document = answer.document
    assert (document["schema"], document["command"], document["ok"], document["error"]) == (
        1,
        "backup",
        True,
        None,
    )
    stored = document["result"]["stored"]
    names = [one["name"] for one in stored]
    assert names == sorted(names, key=lambda name: (name != "template1", name))
    assert {"template1", "postgres", DATABASE} <= set(names)
    assert {one["kind"] for one in stored} == {"db"}
    rows = {one["name"]: one["facts"]["rows"] for one in stored}
    assert rows[DATABASE] == 1000
    whole = document["result"]["whole"]
    assert (whole["kind"], whole["name"]) == ("cluster", "")
    keys = [whole["set_key"], *(one["set_key"] for one in stored)]
    assert {f"{key}/manifest.json" for key in keys} <= site.files()


def test_what_is_stored_is_the_owner_s_alone(backed_up: tuple[Site, Answer]) -> None:
    modes = {stat.S_IMODE(path.stat().st_mode) for path in backed_up[0].store.rglob("*") if path.is_file()}
    assert modes == {0o600}


def test_progress_goes_to_stderr(backed_up: tuple[Site, Answer]) -> None:
    assert f" back up db {DATABASE}\n" in backed_up[1].stderr


def test_list_shows_state_size_and_reason_newest_first(backed_up: tuple[Site, Answer]) -> None:
    site, answer = backed_up
    text = site.run("list").stdout
    assert "platform in nightly" in text
    line = next(line for line in text.splitlines() if DATABASE in line)
    assert " KST " in line
    assert " recorded " in line
    assert line.endswith("younger than 7 days; one of the 3 kept at least")
    listed = site.run("list", "--json").document["result"]["stores"][0]["sets"]
    assert len(listed) == len(answer.document["result"]["stored"]) + 1
    assert listed[0]["created"] >= listed[-1]["created"]
    assert all(one["bytes"] > 0 and one["state"] == "recorded" and one["keep"] for one in listed)


def test_list_reads_no_manifest(copied: Site) -> None:
    for path in copied.store.rglob("manifest.json"):
        path.write_text("not a manifest")
    assert copied.run("list", "--database", DATABASE).code == 0


def test_show_says_in_words_what_a_set_holds(backed_up: tuple[Site, Answer]) -> None:
    site, answer = backed_up
    key = answer.document["result"]["whole"]["set_key"]
    text = site.run("show", key).stdout
    assert text.startswith(f"Set {key}\nThe whole cluster of platform as it was on ")
    assert "000-globals.sql.gz" in text
    document = site.run("show", "newest", "--database", DATABASE, "--json").document
    manifest = document["result"]["manifest"]
    assert (manifest["kind"], manifest["name"], manifest["facts"]["rows"]) == ("db", DATABASE, 1000)
    assert document["result"]["state"] == "recorded"


def test_verify_then_drill_make_a_set_proven(copied: Site) -> None:
    verified = copied.run("verify", "newest", "--database", DATABASE, "--json")
    assert (verified.code, verified.document["result"]["result"]) == (0, "passed")
    assert copied.run("show", "newest", "--database", DATABASE, "--json").document["result"]["state"] == "verified"
    drilled = copied.run("drill", "--database", DATABASE, "--json")
    assert drilled.code == 0, drilled.stderr
    result = drilled.document["result"]
    assert (result["result"], result["compared"][0]["counts"]["row"], result["differences"]) == ("passed", 1000, [])
    assert copied.run("show", "newest-proven", "--database", DATABASE, "--json").document["result"]["state"] == "proven"
    text = copied.run("show", "newest", "--database", DATABASE).stdout
    assert "drill   passed" in text
    assert "verify  passed" in text
    plan = copied.run("restore", "--database", DATABASE, "--set", "newest-proven", "--dry-run")
    assert (plan.code, " proven  platform/db/" in plan.stdout) == (0, True)


def test_a_database_of_a_proven_cluster_set_is_proven_by_it(copied: Site) -> None:
    requested = ("restore", "--database", DATABASE, "--set", "newest-proven", "--dry-run", "--json")
    assert copied.run(*requested).code == 1
    assert copied.run("drill").code == 0
    [one] = copied.run(*requested).document["result"]["plan"]
    assert (one["set"].split("/")[1], one["state"]) == ("cluster", "proven")


def test_a_proven_set_that_lacks_something_is_never_listed_without_that(
    empty_site: Site, postgres_server: Instance, new_database: Callable[..., str]
) -> None:
    closed = new_database()
    with psycopg.connect(postgres_server.conninfo(), autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {closed} ALLOW_CONNECTIONS false".encode())
    assert empty_site.run("backup").code == 0
    drilled = empty_site.run("drill", "--json").document["result"]
    assert drilled["result"] == "passed"
    assert any(closed in what for what in drilled["missing"])
    text = empty_site.run("list").stdout
    assert " proven, incomplete " in text
    assert "- incomplete: the drill passed, and something of the source is not in the set" in text
    sets = empty_site.run("list", "--json").document["result"]["stores"][0]["sets"]
    assert [(one["kind"], one["remark"]) for one in sets if one["state"] == "proven"] == [("cluster", "incomplete")]
    shown = empty_site.run("show", "newest-proven").stdout
    assert "it is proven, but not everything is in it (" in shown


def test_show_names_what_only_the_drill_saw(empty_site: Site, postgres_server: Instance, fresh_database: str) -> None:
    with psycopg.connect(postgres_server.conninfo(fresh_database), autocommit=True) as made:
        made.execute("CREATE EXTENSION vector")
        made.execute("CREATE FUNCTION added() RETURNS int LANGUAGE sql AS 'SELECT 1'")
        made.execute("ALTER EXTENSION vector ADD FUNCTION added()")
    of_it = ("--database", fresh_database)
    assert empty_site.run("backup", *of_it).code == 0
    assert "Not in the set" not in empty_site.run("show", *of_it).stdout
    assert empty_site.run("drill", *of_it).code == 0
    shown = empty_site.run("show", *of_it).stdout
    assert "it is proven, but not everything is in it (1 thing below)" in shown
    assert "what CREATE EXTENSION does not make of vector: function public.added()" in shown
    assert " proven, incomplete " in empty_site.run("list", *of_it).stdout
    assert "Not in the set" in shown


def test_a_sampled_set_is_called_that_everywhere(postgres_server: Instance, databases: str, tmp_path: Path) -> None:
    site = new_site(tmp_path, postgres_server, "proof_sample_percent = 20")
    assert site.run("backup", "--database", DATABASE).code == 0
    drilled = site.run("drill", "--database", DATABASE)
    assert drilled.code == 0
    assert drilled.stdout.startswith("Restore drill of ")
    assert ": only a sample was compared\n" in drilled.stdout
    assert "only 20 % was compared, and is equal: a sample does not prove the set" in drilled.stdout
    text = site.run("list").stdout
    assert " recorded, sampled " in text
    assert "proven," not in text
    assert (
        "its proof covers 20 % of the rows, so that no drill can prove it"
        in site.run("show", "newest", "--database", DATABASE).stdout
    )
    assert site.run("show", "newest-proven", "--database", DATABASE).code == 1


def test_with_a_digest_key_a_forged_verdict_does_not_count(
    postgres_server: Instance, databases: str, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("a long secret\n")
    site = new_site(tmp_path, postgres_server, "", f'digest_key = "file:{tmp_path}/key"')
    stored = site.run("backup", "--database", DATABASE, "--json").document["result"]
    key = stored["stored"][0]["set_key"]
    verdicts, set_id = (
        (site.store / "platform" / "verdicts" / key.removeprefix("platform/")).parent,
        key.rpartition("/")[2],
    )
    verdicts.mkdir(parents=True)
    (verdicts / f"{set_id}.20260207T170000Z-drill-passed.json").write_text("{}")
    (verdicts / f"{set_id}.20260207T170000Z-drill-passed-0123456789abcdef.json").write_text("{}")
    assert site.run("show", "newest-proven", "--database", DATABASE).code == 1
    text = site.run("list").stdout
    assert " recorded " in text
    assert "- 2 verdicts in nightly without the tag of its digest_key" in text
    assert site.run("prune", "--json").document["result"]["places"][0]["stay"][0]["state"] == "recorded"
    assert site.run("drill", "--database", DATABASE).code == 0
    shown = site.run("show", "newest-proven", "--database", DATABASE, "--json").document["result"]
    assert (shown["state"], len(shown["verdicts"])) == ("proven", 1)


def test_verify_without_a_set_keeps_to_its_budget(copied: Site) -> None:
    one = copied.run("verify", "--budget-gib", "0", "--json").document["result"]
    rest = copied.run("verify", "--json").document["result"]
    assert (len(one["sets"]), len(rest["sets"]), rest["sets_left"]) == (1, one["sets_left"] + 1, 0)
    assert rest["sets"][-1]["key"] == one["sets"][0]["key"]


def test_verify_without_a_set_keeps_to_its_database(copied: Site) -> None:
    run = copied.run("verify", "--database", DATABASE, "--json").document["result"]
    assert [one["key"].split("/")[1:3] for one in run["sets"]] == [["db", quote(DATABASE)]]


def test_only_named_databases_make_no_cluster_set(empty_site: Site) -> None:
    answer = empty_site.run("backup", "--database", DATABASE, "--json")
    assert answer.code == 0, answer.stderr
    assert answer.document["result"]["whole"] is None
    key = answer.document["result"]["stored"][0]["set_key"]
    assert {path.rpartition("/")[0] for path in empty_site.files()} == {key}
    assert "as one set each, without a cluster set." in empty_site.run("backup", "--database", DATABASE).stdout


def test_a_backup_clears_away_what_a_killed_one_left(empty_site: Site) -> None:
    left = empty_site.store / "platform" / "cluster" / "20260207T170000Z-abcd1234"
    left.mkdir(parents=True)
    (left / "001-kohub.sql.gz").write_bytes(b"half")
    assert empty_site.run("backup", "--database", DATABASE).code == 0
    assert not left.exists()


def _store_old_sets(site: Site) -> list[SetKey]:
    """Five recorded sets of a database that is not there, begun 20 to 16 days ago, and one of yesterday."""
    now = datetime.now(UTC)
    store = FolderStore("nightly", site.store)
    ages = [20, 19, 18, 17, 16, 10, 5, 1]
    return [
        store_set(store, SetKey("platform", "db", "old", new_set_id(now - timedelta(days=age), "test"))) for age in ages
    ]


def test_prune_shows_first_and_deletes_when_told(empty_site: Site) -> None:
    keys = _store_old_sets(empty_site)
    shown = empty_site.run("prune")
    assert shown.code == 0
    assert "Nothing was deleted yet; --delete (in the form: delete) does it." in shown.stdout
    document = empty_site.run("prune", "--json").document["result"]
    assert {one["key"] for one in document["places"][0]["go"]} == {str(key) for key in keys[:5]}
    assert all(empty_site.store.joinpath(key.manifest).exists() for key in keys)
    done = empty_site.run("prune", "--delete", "--json").document["result"]["places"][0]
    assert set(done["done"]["deleted"]) == {str(key) for key in keys[:5]}
    assert [empty_site.store.joinpath(key.manifest).exists() for key in keys] == [False] * 5 + [True] * 3


def test_a_backup_applies_retention_unless_told_not_to(empty_site: Site) -> None:
    keys = _store_old_sets(empty_site)
    assert empty_site.run("backup", "--database", DATABASE, "--no-prune").code == 0
    assert empty_site.store.joinpath(keys[0].manifest).exists()
    answer = empty_site.run("backup", "--database", DATABASE)
    assert "5 sets pruned" in answer.stdout
    assert "older than 7 days" in answer.stdout
    assert not empty_site.store.joinpath(keys[0].manifest).exists()


def test_a_doubtful_clock_is_told_and_spoils_no_backup(empty_site: Site) -> None:
    store = FolderStore("nightly", empty_site.store)
    future = SetKey("platform", "db", "old", new_set_id(datetime.now(UTC) + timedelta(days=400), "test"))
    store_set(store, future)
    answer = empty_site.run("backup", "--database", DATABASE)
    assert answer.code == 0
    assert "Nothing was pruned: the clock went back" in answer.stdout
    assert "--even-so" in empty_site.run("prune").stdout
    assert empty_site.run("prune", "--even-so", "--json").document["result"]["places"][0]["doubt"] is None


def test_an_encrypted_backup_drills_with_the_key_and_not_without(
    postgres_server: Instance, databases: str, tmp_path: Path
) -> None:
    identity = x25519.Identity.generate()
    recipients = f'recipients = ["{identity.to_public()}"]\n'
    site = new_site(tmp_path, postgres_server, store_lines=recipients)
    stored = site.run("backup", "--database", DATABASE)
    assert stored.code == 0, stored.stderr
    assert "encrypted" in stored.stdout
    without = site.run("drill", "--database", DATABASE, "--json")
    assert (without.code, without.document["result"]["result"]) == (3, "unverified")
    assert "has no identity; give identity =" in without.problem
    (tmp_path / "identity").write_text(f"{identity}\n")
    site.config.write_text(site.config.read_text() + f'identity = "file:{tmp_path / "identity"}"\n')
    assert site.run("drill", "--database", DATABASE).code == 0


def test_restore_beside_and_in_place(copied: Site, postgres_server: Instance) -> None:
    refused = copied.run("restore", "--database", DATABASE, "--in-place")
    assert (refused.code, refused.stdout) == (2, "")
    planned = copied.run("restore", "--database", DATABASE, "--dry-run", "--json").document["result"]
    assert [one["database"] for one in planned["plan"]] == [DATABASE]
    beside = copied.run("restore", "--database", DATABASE, "--json")
    assert beside.code == 0, beside.stderr
    with psycopg.connect(postgres_server.conninfo(DATABASE), autocommit=True) as live:
        live.execute("DELETE FROM orders")
    replaced = copied.run("restore", "--database", DATABASE, "--in-place", "--confirm", DATABASE, "--json")
    assert replaced.code == 0, replaced.stderr
    with psycopg.connect(postgres_server.conninfo(DATABASE)) as live:
        assert live.execute("SELECT count(*) FROM orders").fetchone() == (1000,)
    made = [
        beside.document["result"]["restored"][0]["name"],
        replaced.document["result"]["restored"][0]["previous"],
    ]
    with psycopg.connect(postgres_server.conninfo(), autocommit=True) as admin:
        for name in made:
            admin.execute(psycopg.sql.SQL("DROP DATABASE {}").format(psycopg.sql.Identifier(name)))


def test_restore_into_another_server(copied: Site, second_server: Instance) -> None:
    with copied.config.open("a") as config:
        config.write(f'[servers.spare]\nhost = "{second_server.socket}"\nstore = "nightly"\n')
    answer = copied.run("restore", "--server", "platform", "--to", "spare", "--database", DATABASE, "--json")
    assert answer.code == 0, answer.stderr
    name = answer.document["result"]["restored"][0]["name"]
    with psycopg.connect(second_server.conninfo(name)) as made:
        assert made.execute("SELECT count(*) FROM orders").fetchone() == (1000,)
    with psycopg.connect(second_server.conninfo(), autocommit=True) as admin:
        admin.execute(psycopg.sql.SQL("DROP DATABASE {}").format(psycopg.sql.Identifier(name)))


def test_in_place_of_nothing_needs_no_confirmation(copied: Site, second_server: Instance) -> None:
    with copied.config.open("a") as config:
        config.write(f'[servers.spare]\nhost = "{second_server.socket}"\nstore = "nightly"\n')
    requested = ("restore", "--server", "platform", "--to", "spare", "--all", "--in-place")
    try:
        done = copied.run(*requested)
        assert done.code == 0, done.stderr
        assert "under its own name, which no live database has" in done.stderr
        assert "DROP DATABASE" not in done.stdout
        assert "live ones" not in done.stdout
        with psycopg.connect(second_server.conninfo(DATABASE)) as made:
            assert made.execute("SELECT count(*) FROM orders").fetchone() == (1000,)
        refused = copied.run(*requested)
        assert (refused.code, refused.stdout) == (2, "")
        assert (
            f"takes the place of {DATABASE!r}: repeat each name in --confirm; --dry-run shows the plan."
            in refused.problem
        )
    finally:
        with psycopg.connect(second_server.conninfo(), autocommit=True) as admin:
            name = psycopg.sql.Identifier(DATABASE)
            admin.execute(psycopg.sql.SQL("DROP DATABASE IF EXISTS {}").format(name))


def test_on_a_terminal_progress_is_one_line_that_goes_away(backed_up: tuple[Site, Answer]) -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [*COMMAND, "prune"],
        cwd=backed_up[0].folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=theirs,
        check=True,
    )
    os.close(theirs)
    assert os.read(ours, 10_000) == b"\r\x1b[Kjudge the sets of platform in nightly\r\x1b[K"
    os.close(ours)
    assert done.stdout.startswith(b"What pruning would do\n")


def test_a_reader_that_goes_away_is_no_error(backed_up: tuple[Site, Answer]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*COMMAND, "list"], cwd=backed_up[0].folder, env=environment(), stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_store_that_cannot_be_written_is_exit_1_or_2(empty_site: Site) -> None:
    empty_site.store.write_text("a file where the folder should be")
    answer = empty_site.run("backup", "--database", DATABASE)
    assert answer.code in (1, 2)
    assert str(empty_site.store) in answer.problem
    assert "Traceback" not in answer.stderr


def test_sets_of_another_source_are_left_alone(copied: Site) -> None:
    shutil.copytree(copied.store / "platform", copied.store / "platform-test")
    assert copied.run("list", "--source", "platform-test", "--store", "nightly").code == 0
    answer = copied.run("prune", "--json").document["result"]
    assert {place["source"] for place in answer["places"]} == {"platform"}
