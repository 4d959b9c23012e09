"""PostgreSQL: dump, prove, restore, drill."""
