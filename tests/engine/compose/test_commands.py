"""What is called, against literals."""

from __future__ import annotations

from engine.compose.commands import ComposeFiles, create_argv, migrate_argv

FILES = ComposeFiles("kecp", "/srv/kecp", ("/srv/kecp/a.yml", "/srv/kecp/b.yml"), "/srv/kecp/run/.env")
START = (
    *("docker", "compose", "--ansi", "never", "--project-name", "kecp", "--project-directory", "/srv/kecp"),
    *("--env-file", "/srv/kecp/run/.env", "--file", "/srv/kecp/a.yml", "--file", "/srv/kecp/b.yml"),
)


def test_second_containers_are_made_and_not_started() -> None:
    flags = ("up", "--no-start", "--no-recreate", "--pull", "never")
    scales = ("--scale", "api=2", "--scale", "web=2")
    assert create_argv(FILES, ("api", "web"), ("api", "web")) == (*START, *flags, *scales, "api", "web")


def test_a_service_is_made_beside_others_that_are_doubled() -> None:
    flags = ("up", "--no-start", "--no-recreate", "--pull", "never", "--scale", "api=2")
    assert create_argv(FILES, ["nginx"], ["api"]) == (*START, *flags, "nginx")


def test_a_migration_runs_in_a_container_of_its_own() -> None:
    flags = ("run", "--rm", "--no-deps", "--no-TTY", "--name", "kecp-api-migration", "--entrypoint", "java")
    expected = (*START, *flags, "api", "-jar", "app.jar", "migrate")
    assert migrate_argv(FILES, "api", "kecp-api-migration", ("java", "-jar", "app.jar", "migrate")) == expected
