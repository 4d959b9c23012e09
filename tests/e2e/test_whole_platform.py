"""The compose file whole, on real parts: nginx, PostgreSQL 16, Redis, Keycloak 24, Uptime Kuma; stand-ins for the rest."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from demo.platform_files import SOURCE
from engine.errors import ConfigurationError
from engine.operations.backup import BackupRun
from engine.operations.drill import drill_set
from engine.operations.platform_state import look
from engine.progress import silent
from engine.repository.catalogue import catalogue
from engine.sources.registry import open_source
from engine.steps import InShell
from tests.e2e.whole_platform import BREAKING, Whole, whole_platform
from tests.engine.releases.small_platform import readable, require_docker

pytestmark = [pytest.mark.installation, pytest.mark.xdist_group("whole platform")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    require_docker()
    folder = tmp_path_factory.mktemp("whole")
    readable(folder)
    with whole_platform(folder) as made:
        yield made


def test_ten_services_and_seven_routes_are_well(whole: Whole) -> None:
    state = look(whole.platform(), probe=True)
    assert state.problem is None
    assert len(state.services) == 10 and len(state.routes) == 7


def test_keycloak_under_its_path_gives_links_that_lead_to_it(whole: Whole) -> None:
    found = whole.get("/auth/realms/master/.well-known/openid-configuration").json()
    root = f"https://localhost:{whole.port}/auth/realms/master"
    assert found["issuer"] == root and found["token_endpoint"] == f"{root}/protocol/openid-connect/token"
    console = whole.get("/auth/admin/master/console/")
    assert console.status_code == 200 and f"https://localhost:{whole.port}/auth" in console.text


def test_uptime_kuma_answers_under_its_path_and_by_its_own_name(whole: Whole) -> None:
    assert whole.get("/monitor/api/entry-page").json()["type"] in ("entryPage", "setup-database")
    page = whole.get("/setup-database", host="monitor.localhost")
    assert page.status_code == 200 and "Uptime Kuma" in page.text


def test_each_application_has_a_database_that_no_other_role_reads(whole: Whole) -> None:
    owners = whole.sql(
        "postgres",
        "SELECT datname || ':' || pg_get_userbyid(datdba) FROM pg_database WHERE datname LIKE 'k%' ORDER BY 1",
    )
    assert owners.split() == ["keycloak:keycloak", "kohub:kohub", "kusthub:kusthub"]
    assert whole.sql("postgres", "SELECT has_database_privilege('kusthub', 'kohub', 'CONNECT')") == "f"


def test_what_else_must_come_back_is_stored_and_proven(whole: Whole) -> None:
    """The realm of a real Keycloak, the volumes of Uptime Kuma and Termix, the certificate that nginx shows."""
    kept = [name for name in whole.settings.sources if name != SOURCE]
    for name in kept:
        run = BackupRun(open_source(whole.settings, name), whole.repository, secrets.token_hex(8), "test")
        run.carry_out(InShell(silent))
        assert run.problem() is None, run.problem()
    repository = whole.repository("nightly")
    newest = {asset.label: sets[0].key for asset, sets in catalogue(repository).assets.items() if asset.source in kept}
    assert set(newest) == {"certificate", "realm master", "volume termix-data", "volume uptime-kuma-data"}
    for key in newest.values():
        own = whole.settings.source(key.source)
        made = drill_set(repository, key, "test", silent, whole.settings.host_of(own))
        assert made.result == "passed", made.sentence


def test_a_breaking_release_goes_back_with_its_databases_only(whole: Whole) -> None:
    whole.sql("kohub", "CREATE TABLE ticket (id int PRIMARY KEY); INSERT INTO ticket VALUES (1)")
    release = whole.change("update", kohub_backend=BREAKING)
    assert release.plan is not None and release.plan.breaking == ("kohub-backend",)
    assert any(key.startswith(f"{SOURCE}/db/kohub/") for key in release.backups)
    whole.sql("kohub", "DROP TABLE ticket")  # what its migration did
    with pytest.raises(ConfigurationError, match=r"images alone cannot go back.*rollback-db"):
        whole.change("rollback")

    with pytest.raises(ConfigurationError, match="repeat each name"):
        whole.back_with_databases(("kohub", "kusthub")).carry_out((), "`confirm`", InShell(silent))
    with pytest.raises(ConfigurationError, match=r"The database kohub was migrated .* it has to go back too"):
        whole.back_with_databases(("kusthub",)).carry_out(("kusthub",), "`confirm`", InShell(silent))
    run = whole.back_with_databases(("kohub", "kusthub"))
    run.carry_out(("kohub", "kusthub"), "`confirm`", InShell(silent))
    assert run.stopped == ("kohub-backend", "kusthub-backend") and run.restored == ("kohub", "kusthub")
    assert whole.sql("kohub", "SELECT count(*) FROM ticket") == "1"
    assert whole.get("/api/version").json()["version"] == "1.0.0"
    kept = whole.sql("postgres", "SELECT count(*) FROM pg_database WHERE datname LIKE 'kohub\\_before\\_%'")
    assert kept == "1"
    assert look(whole.platform(), probe=True).problem is None
