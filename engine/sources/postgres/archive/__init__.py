"""pg_dump's custom archive: its table of contents, its rows, and how one becomes plain SQL."""
