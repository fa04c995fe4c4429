"""django-timescaledb's backend for a server with TimescaleDB, mended in two places."""

from django.db import OperationalError
from django.db.backends.postgresql.base import DatabaseWrapper as PostgresWrapper
from django.db.models import Model
from timescale.db.backends.postgresql.base import DatabaseWrapper as TimescaleWrapper
from timescale.db.backends.postgresql.schema import TimescaleSchemaEditor
from timescale.db.models.fields import TimescaleDateTimeField

from krakendata.errors import ConfigurationError

IS_AVAILABLE = "SELECT 1 FROM pg_available_extensions WHERE name = 'timescaledb'"


class SchemaEditor(TimescaleSchemaEditor):
    """Keeps a primary key that contains the time column; the parent drops every one (its issue 58)."""

    def _drop_primary_key(self, model: type[Model]) -> None:
        if not any(isinstance(field, TimescaleDateTimeField) for field in model._meta.pk_fields):
            super()._drop_primary_key(model)


class DatabaseWrapper(TimescaleWrapper):
    """Says what to do where the parent stops `migrate` with the server's error."""

    SchemaEditorClass = SchemaEditor

    def prepare_database(self) -> None:
        """Create the extension; raises ConfigurationError where the server has none or has not loaded it."""
        PostgresWrapper.prepare_database(self)
        with self.cursor() as cursor:
            cursor.execute(IS_AVAILABLE)
            if cursor.fetchone() is None:
                raise ConfigurationError(
                    "DATABASE_URL asks for TimescaleDB, which this server does not have: install it, "
                    "or name the server postgresql://USER:PASSWORD@HOST/NAME to do without it."
                )
        try:
            with self.cursor() as cursor:
                cursor.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        except OperationalError as error:
            raise ConfigurationError(
                "DATABASE_URL asks for TimescaleDB, which this PostgreSQL server has not loaded: add "
                "shared_preload_libraries = 'timescaledb' to its postgresql.conf and restart it."
            ) from error
