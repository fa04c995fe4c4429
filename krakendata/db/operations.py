"""The migration operation that runs files of storage/sql, in the variant of the edition found."""

from collections.abc import Mapping
from typing import Any

from django.db import router
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from krakendata.storage.editions import Edition, edition_named
from krakendata.storage.sql import query, read_file

# The part of a path in braces is what an edition varies: `rollups/{rollups}.sql`.


def detect_edition(schema_editor: BaseDatabaseSchemaEditor) -> Edition:
    """Return the edition of the database that is being migrated."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(query("detect_edition"))
        row = cursor.fetchone()
        return edition_named(row[0] if row else None)


def path_in(path: str, edition: Edition) -> str:
    """Fill the edition's variant into a path such as `rollups/{rollups}.sql`."""
    variants: Mapping[str, str] = {
        "partitions": edition.partitions,
        "rollups": edition.rollups,
        "upkeep": edition.upkeep,
        "functions": "timescale" if edition.has_timescale else "plain",
    }
    return path.format_map(variants)


class RunSQLFile(Operation):
    """Run one SQL file forwards and another backwards; `{part}` in a path stands for the edition's variant."""

    reduces_to_sql = True
    reversible = True

    def __init__(self, forwards: str | None, backwards: str | None) -> None:
        self.forwards = forwards
        self.backwards = backwards

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """The models' state is told by other operations."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        self._run(self.forwards, app_label, schema_editor)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        self._run(self.backwards, app_label, schema_editor)

    def describe(self) -> str:
        return f"Run {self.forwards or 'nothing (guard of the way back)'}"

    @staticmethod
    def _run(path: str | None, app_label: str, schema_editor: BaseDatabaseSchemaEditor) -> None:
        if path is None or not router.allow_migrate(schema_editor.connection.alias, app_label):
            return
        with schema_editor.connection.cursor() as cursor:
            cursor.execute(read_file(path_in(path, detect_edition(schema_editor))))
