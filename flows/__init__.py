"""Sentences: one file for each operation an operator starts. Each reads like the runbook."""
