"""django-timescaledb's backend, with composite primary keys kept and clear words where the extension is missing."""
