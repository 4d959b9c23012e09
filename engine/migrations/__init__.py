"""SQL migrations as golang-migrate keeps them: NNN_name.up.sql, NNN_name.down.sql, the table schema_migrations."""
