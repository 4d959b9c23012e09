"""How results look to people: one report for each operation, as text for a shell and as markdown for Prefect."""
