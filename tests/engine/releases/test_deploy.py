"""Deploys and rollbacks of a small platform on a real Docker engine, under load."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from engine.cli import main
from engine.errors import ConfigurationError, LockedByAnother, OperationFailed, PlatformOpsError
from engine.hosts.opening import close_hosts
from engine.hosts.processes import arguments, running_pids
from engine.operations.platform_state import start, stop
from engine.progress import silent
from engine.releases import records
from engine.releases.lock import HEARTBEAT_SECONDS, held
from engine.releases.plan import Action
from engine.reports.release import plan_report
from engine.sources.postgres.scratch.socket_and_port import free_port
from engine.steps import InShell
from tests.engine.hosts.sshd import running_sshd
from tests.engine.releases.small_platform import (
    CANARY,
    FAULTS,
    SmallPlatform,
    build_images,
    require_docker,
    small_platform,
    write_folder,
)

pytestmark = [pytest.mark.installation, pytest.mark.xdist_group("releases")]
LEAST_REQUESTS = 200


def test_an_update_and_a_rollback_lose_no_request(small: SmallPlatform) -> None:
    slow: list[int] = []

    def ask_slowly() -> None:
        slow.append(httpx.get(f"{small.url}/api/slow?seconds=25", verify=False, timeout=60).status_code)

    with small.under_load() as counts:
        asking = threading.Thread(target=ask_slowly)
        asking.start()
        time.sleep(0.5)
        run = small.change(kohub_backend="1.1.0", kohub_frontend="1.1.0")
        asking.join()
        back = small.change("rollback")
    assert run.plan is not None and back.plan is not None
    assert run.plan.of(Action.ROLL) == ("kohub-backend", "kohub-frontend")
    assert counts.failures == {}
    assert counts.answered > LEAST_REQUESTS and set(counts.versions) == {"1.0.0", "1.1.0"}
    assert slow == [200]
    assert (run.lost, back.lost) == (0, 0)
    assert small.version("kohub-backend") == "1.0.0"
    assert small.leftovers() == []
    assert small.by_hand() == ""


def test_a_host_that_is_reached_over_ssh(small: SmallPlatform, tmp_path: Path) -> None:
    """The same update and rollback, each program and each file of it through sshd."""
    with running_sshd(tmp_path / "sshd") as sshd, small.under_load() as counts:
        away = replace(small, host=sshd.settings)
        run = away.change(kohub_backend="1.1.0", termix="1.1.0")
        back = away.change("rollback")
        close_hosts()
    assert counts.failures == {}
    assert (run.lost, back.lost) == (0, 0)
    assert set(counts.versions) == {"1.0.0", "1.1.0"}
    assert (small.version("kohub-backend"), small.version("termix")) == ("1.0.0", "1.0.0")
    assert small.leftovers() == []


def test_a_service_moves_to_another_port(small: SmallPlatform) -> None:
    """Old and new answer at ports of their own while one follows the other, there and back."""

    def move(document: Any) -> None:
        frontend = document["services"]["kohub-frontend"]
        frontend["environment"]["APP_PORT"] = "8090"
        frontend["healthcheck"]["test"] = [
            word.replace("127.0.0.1/", "127.0.0.1:8090/") for word in frontend["healthcheck"]["test"]
        ]
        document["x-rollout"]["kohub-frontend"]["port"] = 8090

    with small.edited(move), small.under_load() as counts:
        run = small.change()
        small.change("rollback")
    assert counts.failures == {}
    assert run.plan is not None and run.plan.of(Action.ROLL) == ("kohub-frontend",)
    assert small.leftovers() == []
    assert small.change().plan.empty  # type: ignore[union-attr]


def test_how_a_service_is_asked_is_a_release_that_touches_no_container(small: SmallPlatform) -> None:
    def another(document: Any) -> None:
        document["x-routes"]["/api/"]["probe"] = "/api/another"

    before = small.standing()
    with small.edited(another):
        run = small.change()
        assert small.change().plan.empty  # type: ignore[union-attr]
        small.change("rollback")
    assert run.plan is not None and [each.where for each in run.plan.routes] == ["/api/"]
    assert small.standing() == before
    assert small.leftovers() == []


def test_a_first_deploy_that_is_refused_leaves_no_container(tmp_path: Path) -> None:
    require_docker()
    build_images()
    with small_platform(tmp_path, free_port(28_980)) as small:
        small.edit("nginx/nginx.conf", "http {", "http {\n    no_such_directive on;")
        with pytest.raises(ConfigurationError, match="no_such_directive"):
            small.change()
        assert small.containers() == {}
        assert not (small.directory / "run/journal.json").exists()


def test_another_platform_s_containers_are_not_touched(small: SmallPlatform, tmp_path: Path) -> None:
    """A second entry of the configuration that was left with the same project, on the same host."""
    other = replace(small, directory=tmp_path / "other")
    write_folder(other)
    before = small.standing()
    with pytest.raises(ConfigurationError, match="belong to the folder"):
        other.change()
    assert small.standing() == before
    assert not (other.directory / "run/journal.json").exists()


def test_nothing_starts_while_databases_are_half_way_back(small: SmallPlatform) -> None:
    """A rollback of databases that was killed: a newer version must not be let loose on older data."""
    before, platform = small.standing(), small.platform()
    records.mark_databases(platform.site, ["kohub"])
    try:
        for attempt in (small.change, lambda: start(platform, "test", (), InShell(silent))):
            with pytest.raises(OperationFailed, match="rollback with the databases kohub did not come to its end"):
                attempt()
    finally:
        records.forget_databases(platform.site)
    assert small.standing() == before
    assert small.leftovers() == []


def test_a_terminal_s_interrupt_leaves_the_lock_to_its_holder(small: SmallPlatform) -> None:
    with held(small.platform().site, "somebody") as lease:
        holders = [pid for pid in running_pids() if str(small.directory / "run") in arguments(pid)]
        assert holders
        for pid in holders:
            os.kill(pid, signal.SIGINT)
        time.sleep(HEARTBEAT_SECONDS + 2)
        lease.require()


def test_a_secret_in_a_rule_is_refused_or_hidden(small: SmallPlatform) -> None:
    def in_argv(document: Any) -> None:
        document["x-rollout"]["kohub-backend"]["migrate"] = "migrate --password=${KOHUB_DB_PASSWORD}"

    def in_a_route(document: Any) -> None:
        document["x-routes"]["/api/"]["direct"] = "/api/version?token=${KOHUB_DB_PASSWORD}"

    with small.edited(in_argv), pytest.raises(ConfigurationError, match="has a secret among its words"):
        small.change()
    with small.edited(in_a_route):
        run = small.run()
        run.only_plan(InShell(silent))
    assert run.plan is not None and not run.plan.empty
    assert CANARY not in run.plan.model_dump_json() and CANARY not in plan_report(run.plan).as_text()
    assert small.leftovers() == []


def test_an_image_that_somebody_removed_is_missed_before_anything_stops(small: SmallPlatform) -> None:
    small.change("update", termix="1.1.0")
    good = records.last_good(small.platform().site).services["termix"].image
    before = small.standing()
    subprocess.run(["docker", "image", "rm", good], check=True, capture_output=True)
    with pytest.raises(ConfigurationError, match="is not on the host any more"):
        small.change("rollback")
    assert small.standing() == before
    subprocess.run(["docker", "tag", "platform-ops/termix:1.0.0", good], check=True)
    small.change("rollback")
    assert small.version("termix") == "1.0.0"


def test_where_nothing_differs_nothing_is_done(small: SmallPlatform) -> None:
    before = small.standing()
    run = small.change()
    assert run.plan is not None and run.plan.empty
    assert small.standing() == before
    assert small.leftovers() == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_release_takes_no_traffic(small: SmallPlatform, fault: str) -> None:
    before = small.containers()["kohub-backend"][0]
    with small.under_load() as counts, pytest.raises(PlatformOpsError) as raised:
        small.change(kohub_backend=f"1.2.0-{fault}")
    message = {
        "never-healthy": "503",
        "crashes": "OutOfMemoryError",
        "wrong-version": "0.0.0-wrong",
        "failing-migration": 'relation "ticket" does not exist',
        "failing-smoke": "500",
    }
    assert message[fault] in str(raised.value)
    assert counts.failures == {} and set(counts.versions) == {"1.0.0"} and counts.answered > 20
    assert small.containers()["kohub-backend"][0].id == before.id
    assert small.leftovers() == []


def test_files_that_nginx_refuses_change_nothing(small: SmallPlatform) -> None:
    before = small.standing()
    small.edit("nginx/platform.conf", "location /terminal/ {", "location /terminal/ { no_such_directive on;")
    try:
        with small.under_load() as counts, pytest.raises(ConfigurationError, match="no_such_directive"):
            small.change(kohub_backend="1.1.0")
    finally:
        small.edit("nginx/platform.conf", "location /terminal/ { no_such_directive on;", "location /terminal/ {")
    assert counts.failures == {}
    assert small.standing() == before
    assert small.leftovers() == []


def test_an_image_that_cannot_be_had_changes_nothing(small: SmallPlatform) -> None:
    before = small.standing()
    with pytest.raises(
        ConfigurationError, match=r"kohub-backend:9\.9\.9 of kohub-backend cannot be fetched; nothing was changed"
    ):
        small.change(kohub_backend="9.9.9")
    assert small.standing() == before
    assert small.leftovers() == []


def test_what_bears_one_writer_is_stopped_first_and_put_back(small: SmallPlatform) -> None:
    run = small.change("update", termix="1.1.0")
    assert run.plan is not None and run.plan.of(Action.REPLACE) == ("termix",)
    assert small.version("termix") == "1.1.0"
    small.change("rollback")
    assert small.version("termix") == "1.0.0"
    assert small.leftovers() == []
    assert small.by_hand() == ""


def test_what_was_ill_before_keeps_no_update_from_coming(small: SmallPlatform) -> None:
    docker, (termix,) = small.platform().docker, small.containers()["termix"]
    docker.call(("docker", "pause", termix.id))
    try:
        run = small.change("update", kohub_frontend="1.1.0")
        assert [each for each in run.remarks if "/terminal/" in each and "before this change already" in each]
        assert small.version("kohub-frontend") == "1.1.0"
    finally:
        docker.call(("docker", "unpause", termix.id))
    small.change("rollback")
    assert small.leftovers() == []


def test_a_second_run_is_told_who_is_at_it(small: SmallPlatform) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def wait(plan: object) -> str:
        reached.set()
        go_on.wait(60)
        raise OperationFailed("rejected")

    first = small.run(approve=wait, kohub_backend="1.1.0")
    failed: list[PlatformOpsError] = []

    def carry_out() -> None:
        try:
            first.carry_out(InShell(silent))
        except PlatformOpsError as error:
            failed.append(error)

    thread = threading.Thread(target=carry_out)
    thread.start()
    assert reached.wait(60)
    try:
        with pytest.raises(LockedByAnother, match=r"locked by test deploy since 20\d\d-"):
            small.change()
    finally:
        go_on.set()
        thread.join()
    assert [str(error) for error in failed] == ["rejected"]
    assert small.leftovers() == []


def test_a_world_that_moved_makes_the_plan_void(small: SmallPlatform) -> None:
    docker = small.platform().docker

    def change_it(plan: object) -> str:
        docker.call(("docker", "stop", small.containers()["termix"][0].id))
        return "somebody"

    run = small.run(approve=change_it, kohub_backend="1.1.0")
    try:
        with pytest.raises(OperationFailed, match="the plan waited: it is void, and nothing was changed"):
            run.carry_out(InShell(silent))
        assert small.version("kohub-backend") == "1.0.0"
    finally:
        docker.call(("docker", "start", small.containers()["termix"][0].id))
    assert small.leftovers() == []


def test_a_plan_shows_what_differs_and_no_secret(small: SmallPlatform) -> None:
    small.edit(".env.staging", "LOG_LEVEL=info", "LOG_LEVEL=debug")
    small.edit(".env.staging", CANARY, "another-canary-of-31-characters")
    try:
        run = small.run()
        run.only_plan(InShell(silent))
    finally:
        small.edit(".env.staging", "LOG_LEVEL=debug", "LOG_LEVEL=info")
        small.edit(".env.staging", "another-canary-of-31-characters", CANARY)
    assert run.plan is not None
    changes = {str(change) for each in run.plan.changing for change in each.changes}
    assert changes == {
        "environment environment.LOG_LEVEL: info -> debug",
        "secret environment.SPRING_DATASOURCE_PASSWORD changes",
    }
    assert "canary" not in run.plan.model_dump_json()
    assert small.leftovers() == []


def test_the_hash_of_a_plan_approves_the_command_it_is_for(
    small: SmallPlatform, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small.config.with_name("asking.toml")
    config.write_text(small.config.read_text(encoding="utf8").replace("store =", "approval = true\nstore ="))

    def platformctl(*words: str, code: int = 0) -> dict[str, Any]:
        assert main(["--config", str(config), *words, "--json"]) == code
        return cast("dict[str, Any]", json.loads(capsys.readouterr().out)["result"])

    for command, words in (("update", ["kohub-backend=1.1.0"]), ("restart", ["kohub-frontend"]), ("rollback", [])):
        before = small.standing()
        plan = platformctl("plan", "--for", command, *words)
        assert small.standing() == before
        assert main(["--config", str(config), command, *words]) == 2  # nobody is there to be asked
        assert plan["hash"][:12] in capsys.readouterr().err
        done = platformctl(command, *words, "--approve", plan["hash"][:12])
        assert done["changed"] and done["plan"]["hash"] == plan["hash"]
    assert small.version("kohub-backend") == "1.0.0"
    assert small.leftovers() == []


def test_no_secret_is_in_what_others_read(small: SmallPlatform) -> None:
    kept = [path for path in small.store.rglob("*") if path.is_file()]
    assert kept, "each release leaves a record in the store"
    open_to_all = [
        path
        for path in small.directory.rglob("*")
        if path.is_file() and path.stat().st_mode & 0o077 and path.parent != small.directory
    ]
    assert open_to_all
    for path in (*kept, *open_to_all):
        assert CANARY.encode() not in path.read_bytes(), path


def test_after_ten_deploys_two_releases_are_left(small: SmallPlatform) -> None:
    other = small.platform().docker
    other.call(("docker", "tag", "platform-ops/termix:1.0.0", f"{small.project}-other/termix:1.0.0"))
    try:
        for number in range(10):
            run = small.change(termix="1.0.0" if number % 2 else "1.1.0")
            assert run.plan is not None and not run.plan.empty
        site = small.platform().site
        assert len(site.releases()) == len(records.kept(site)) == 2
        listed = other.call(("docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}")).decode().split()
        tags = [tag.partition(":")[0] for tag in listed if tag.startswith(f"{small.project}/")]
        assert tags.count(f"{small.project}/termix") == 2 and tags.count(f"{small.project}/kohub-backend") == 1
        assert f"{small.project}-other/termix:1.0.0" in listed and "platform-ops/kohub-backend:1.1.0" in listed
    finally:
        other.call(("docker", "image", "rm", f"{small.project}-other/termix:1.0.0"))
    small.change()


def test_all_of_production_is_stopped_only_when_its_name_is_repeated(small: SmallPlatform) -> None:
    platform = small.platform()
    settings = platform.settings.model_copy(update={"approval": True})
    guarded = replace(platform, site=replace(platform.site, settings=settings))
    before = small.standing()
    for message in ("", "staging"):
        with pytest.raises(ConfigurationError, match="stops every service of small: repeat its name"):
            stop(guarded, "test", (), message, InShell(silent))
    assert small.standing() == before
    stop(guarded, "test", (), "small", InShell(silent))
    try:
        assert not any(running for each in small.standing().values() for _, running in each)
    finally:
        start(platform, "test", (), InShell(silent))
    assert small.leftovers() == []
