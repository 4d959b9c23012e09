"""platformctl k8s: an application in a Kubernetes cluster."""

from __future__ import annotations

import click

from engine.cli.lazy import LazyGroup

WORDS = {
    "plan": "Show what a deploy would change and why; the server is asked for dry runs and keeps nothing.",
    "deploy": "Apply the manifests with a version of the image, wait for its pods, ask them; what fails is undone.",
    "rollback": "Go back to the revision before, or to one that is named: image and configuration.",
    "history": "List the revisions there are to go back to, and who released them.",
    "migrate": "Run the SQL migrations of the database: up, down, to a version.",
    "scale": "Set how many pods there are, and wait for them.",
    "restart": "Start all pods anew, one after another.",
    "delete-pod": "Delete one pod and wait for the one that takes its place.",
    "logs": "Show the last lines of the pods, or follow them.",
    "top": "Show what each pod uses.",
    "check-database": "Ask the application, inside of a pod, whether it reaches its database.",
    "run-job": "Run one of the application's jobs now and wait for it.",
}


@click.group(
    cls=LazyGroup,
    words=WORDS,
    room="engine.cli.k8s",
    help="An application in a Kubernetes cluster, as [clusters.NAME] of the configuration describes it.",
    epilog="""\b
Each command takes --json, and --cluster where the configuration has several.

\b
Example:
  platformctl k8s plan 1a2b3c4d-20260101120000 && platformctl k8s deploy 1a2b3c4d-20260101120000
""",
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
def command() -> None:
    pass
