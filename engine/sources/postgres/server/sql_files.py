"""Long SQL has a file of its own, beside the module that runs it."""

from __future__ import annotations

from importlib.resources import files


def read_sql(module: str, name: str) -> str:
    """The statement in `name`.sql, in the folder of `module` (its `__name__`)."""
    return files(module.rpartition(".")[0]).joinpath(f"{name}.sql").read_text(encoding="utf8")
