"""A managed server from the shell: what its master may not read is said before the backup run, and what comes back."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import MAJOR
from tests.engine.cli.site import new_site
from tests.engine.sources.postgres.backups import execute, run_script
from tests.engine.sources.postgres.managed import APPLICATION, OF_THE_APP, rds_like


def test_from_a_look_before_the_backup_run_to_a_restore(tmp_path: Path) -> None:
    with rds_like(MAJOR) as server:
        run_script(server, "postgres", APPLICATION)
        run_script(server, "shop", OF_THE_APP)
        site = new_site(tmp_path, server)
        site.config.write_text(site.config.read_text().replace('user = "rdsadmin"', 'user = "master"'))
        execute(server, "shop", "ALTER TABLE orders.item FORCE ROW LEVEL SECURITY")
        look = site.run("backup", "--dry-run", "--json")
        assert (look.code, site.files()) == (2, set())
        planned = look.document["result"]
        assert {one["name"] for one in planned["planned"]} == {"shop", "template1", "postgres"}
        (failed,) = planned["failed"]
        assert failed["name"] == "shop"
        assert "Row security would hide rows of orders.item" in failed["sentence"]
        assert planned["missing"][0].startswith("the passwords of app, master, rdsadmin")

        execute(server, "shop", "ALTER TABLE orders.item NO FORCE ROW LEVEL SECURITY")
        look = site.run("backup", "--dry-run")
        assert (look.code, site.files()) == (0, set())
        assert "3 databases would be stored in nightly; nothing was read." in look.stdout
        assert "db rdsadmin: it belongs to the managed service" in look.stdout
        assert site.run("backup").code == 0
        assert site.run("drill").code == 0
        assert site.run("verify").code == 0
        assert site.run("check").code == 0

        execute(server, "postgres", "DROP DATABASE shop", "ALTER ROLE app RENAME TO formerly")
        (tmp_path / "password").write_text("of the app, again")
        wrong = site.run("restore", "--database", "shop", "--role-password", "app=canary-of-the-app")
        assert (wrong.code, "canary" in wrong.stderr) == (2, False)
        assert "--role-password 1 is no ROLE=REFERENCE" in wrong.stderr
        requested = ("restore", "--database", "shop", "--in-place", "--role-password", f"app=file:{tmp_path}/password")
        made = site.run(*requested)
        assert (made.code, "each equal to its proof" in made.stdout) == (0, True)
        assert "of the app" not in made.stdout + made.stderr
        password = "SELECT rolpassword LIKE 'SCRAM%' FROM pg_authid WHERE rolname = 'app'"
        assert execute(server, "postgres", password) == [(True,)]
