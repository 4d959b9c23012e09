"""The readable record that every run leaves: one artifact, the same words as the command line's."""

from __future__ import annotations

from prefect.artifacts import create_markdown_artifact

from engine.reports.report import Report


def leave_record(report: Report, key: str) -> None:
    """Store the report as this run's artifact; `key` groups the runs of one operation."""
    create_markdown_artifact(report.as_markdown(), key=key, description=report.sentence)
