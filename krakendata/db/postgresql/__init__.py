"""Django's own backend, under our name, for a PostgreSQL without TimescaleDB."""
