"""django-timescaledb's backend, keeping composite primary keys and plain about a missing extension."""
