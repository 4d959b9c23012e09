"""The program itself: what it imports, its help, its completion, wrong usage."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from engine.cli.kind_group import groups
from engine.cli.program import COMMANDS
from engine.sources.groups import GROUPS
from engine.version import VERSION
from tests.engine.cli.site import Site, completed

_HEAVY = ("pydantic", "psycopg", "boto3", "prefect", "docker", "paramiko")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["completion", "bash"], []])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom engine.cli import main\nmain(sys.argv[1:])\n"
        f"sys.stderr.write('|'.join(name for name in {_HEAVY!r} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1:] in ([], ["platformctl: Missing command. See `platformctl --help`."])


def test_the_engine_s_cli_is_imported_without_anything_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import engine.cli"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "engine.cli.program" in imported
    assert imported.isdisjoint(_HEAVY)


def test_no_command_imports_prefect() -> None:
    names = ", ".join(f"engine.cli.{name.replace('-', '_')}" for name in COMMANDS)
    code = f"import sys, {names}\nprint('prefect' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_help_names_the_commands_and_the_exit_codes(tmp_path: Path) -> None:
    answer = Site(tmp_path).run("--help")
    assert answer.code == 0
    assert all(f"\n  {name} " in answer.stdout for name in COMMANDS)
    assert "  4  locked: another run is at it\n" in answer.stdout


def test_help_names_the_groups_of_the_kinds(tmp_path: Path) -> None:
    """The words are written down, so that `--help` imports no kind; here they are compared with what there is."""
    answer = Site(tmp_path).run("--help")
    assert list(GROUPS) == list(groups())
    assert all(f"\n  {noun} " in answer.stdout for noun in GROUPS)
    for noun in GROUPS:
        assert f"platformctl {noun} restore" in Site(tmp_path).run(noun, "restore", "--help").stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_s_help_has_an_example(name: str, tmp_path: Path) -> None:
    answer = Site(tmp_path).run(name, "--help")
    assert answer.code == 0
    assert f"platformctl {name}" in answer.stdout.partition("Example:")[2]
    assert "--json" in answer.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Missing command. See `platformctl --help`."),
        (["nonsense"], "No such command 'nonsense'. See `platformctl --help`."),
        (
            ["restore"],
            "Say what to restore: --database NAME (repeatable), or --all for all of them.",
        ),
        (
            ["restore", "--database", "a", "--confirm", "a"],
            "--confirm belongs to --in-place; without it no live database is replaced: leave one out, or give both.",
        ),
        (["completion"], "Name your shell: bash, zsh, fish. See `platformctl completion --help`."),
        (["drill", "a", "b"], "Got unexpected extra argument (b). See `platformctl drill --help`."),
    ],
)
def test_wrong_usage_is_exit_2_in_one_sentence(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    answer = Site(tmp_path).run(*arguments)
    assert (answer.code, answer.stdout, answer.stderr) == (2, "", f"platformctl: {sentence}\n")


def test_wrong_usage_is_a_json_document_too(tmp_path: Path) -> None:
    answer = Site(tmp_path).run("verify", "--budget-gib", "much", "--json")
    assert answer.code == 2
    document = answer.document
    assert (document["schema"], document["command"], document["ok"], document["result"]) == (
        1,
        "verify",
        False,
        None,
    )
    assert (document["error"]["kind"], document["error"]["exit_code"]) == ("UsageError", 2)


def test_json_may_stand_before_the_command(tmp_path: Path) -> None:
    assert Site(tmp_path).run("--json", "list").document["error"]["exit_code"] == 2


def test_no_configuration_is_exit_2_and_says_where_it_was_looked_for(tmp_path: Path) -> None:
    answer = Site(tmp_path).run("list")
    assert answer.code == 2
    assert answer.stderr.startswith(f"platformctl: No platform-ops.toml in {tmp_path} or /etc/platform-ops; ")


@pytest.mark.parametrize("before", [True, False])
def test_config_may_stand_before_or_after_the_command(before: bool, tmp_path: Path) -> None:
    option = ["--config", "elsewhere.toml"]
    answer = Site(tmp_path).run(*option, "list") if before else Site(tmp_path).run("list", *option)
    assert answer.stderr == (
        "platformctl: The configuration elsewhere.toml cannot be read: No such file or directory; "
        "give a readable one with --config or $PLATFORM_OPS_CONFIG.\n"
    )


def test_a_typo_in_the_configuration_is_exit_2_and_names_the_place(empty_site: Site) -> None:
    empty_site.config.write_text(empty_site.config.read_text().replace("store =", "stoer =", 1))
    answer = empty_site.run("backup")
    assert answer.code == 2
    assert "servers.platform.store: it is missing" in answer.stderr
    assert "servers.platform.stoer: there is no such setting; correct its name or remove it" in answer.stderr


def test_a_store_without_a_kind_is_named(empty_site: Site) -> None:
    empty_site.config.write_text(empty_site.config.read_text().replace('kind = "folder"', ""))
    assert 'stores.nightly: kind is missing ("folder" or "s3").' in empty_site.run("list").stderr


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["backup", "--source", ""], {"platform"}),
        (["backup", "--server", ""], {"platform"}),
        (["list", "--store", "n"], {"nightly"}),
        (["rest"], {"restart", "restore"}),
    ],
)
def test_completion_knows_commands_sources_and_stores(arguments: list[str], names: set[str], empty_site: Site) -> None:
    assert completed(empty_site, *arguments) == names


def test_the_version_is_shown(tmp_path: Path) -> None:
    answer = Site(tmp_path).run("--version")
    assert (answer.code, answer.stdout) == (0, f"platformctl {VERSION}\n")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_completion_script_is_for_the_shell(shell: str, tmp_path: Path) -> None:
    answer = Site(tmp_path).run("completion", shell, "--json")
    assert answer.code == 0
    assert f"{shell}_complete" in answer.document["result"]["script"]


def test_an_unexpected_error_is_a_sentence_and_debug_shows_where() -> None:
    code = (
        "import sys, engine.cli.program as p\n"
        "def broken(*a, **k): raise ValueError('out of tea')\n"
        "p.cli.main = broken\n"
        "sys.exit(p.main(sys.argv[1:]))"
    )
    for extra, lines in ((), 1), (("--debug",), 2):
        done = subprocess.run([sys.executable, "-c", code, "--json", *extra], capture_output=True, text=True)
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) >= lines
        assert done.stderr.splitlines()[-1].startswith("platformctl: An unexpected error (ValueError): out of tea; ")
        assert ("Traceback" in done.stderr) is bool(extra)
        assert json.loads(done.stdout)["error"]["kind"] == "ValueError"
