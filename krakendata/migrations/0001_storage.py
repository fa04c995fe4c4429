"""Tables, partitions, rollups, views, functions and policies, each in the edition's variant."""

from django.apps.registry import Apps
from django.conf import settings
from django.db import DatabaseError, migrations, transaction
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from krakendata.db.operations import RunSQLFile, detect_edition
from krakendata.errors import ConfigurationError
from krakendata.storage.sql import query


def require_btree_gist(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """The ledger's constraint, that no two runs overlap, needs PostgreSQL's btree_gist."""
    try:
        with transaction.atomic(schema_editor.connection.alias), schema_editor.connection.cursor() as cursor:
            cursor.execute("CREATE EXTENSION IF NOT EXISTS btree_gist")
    except DatabaseError as error:
        raise ConfigurationError(
            "The user of DATABASE_URL may not create the extension btree_gist in this database, or the server does not "
            "have it: let an administrator run CREATE EXTENSION btree_gist there, then migrate again."
        ) from error


def record_edition(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Every later start compares the edition it finds with this one."""
    edition = detect_edition(schema_editor)
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(query("record_edition"), {"edition": edition.name})


def draw_lines(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """The lines start where the retention settings of the first migration put them."""
    options = getattr(settings, "KRAKENDATA", {})
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            query("draw_lines"),
            {
                "trades_days": options.get("RETENTION_TRADES_DAYS", 90),
                "candles_days": options.get("RETENTION_CANDLES_DAYS", 365),
            },
        )
        cursor.execute(query("draw_all_candles"))


class Migration(migrations.Migration):
    initial = True

    operations = [
        migrations.RunPython(require_btree_gist, migrations.RunPython.noop),
        RunSQLFile("functions/{functions}.sql", "functions/{functions}_down.sql"),
        RunSQLFile("tables/0001_tables.sql", "tables/0001_tables_down.sql"),
        migrations.RunPython(record_edition, migrations.RunPython.noop),
        RunSQLFile("partitions/{partitions}.sql", "partitions/{partitions}_down.sql"),
        RunSQLFile("rollups/{rollups}.sql", "rollups/{rollups}_down.sql"),
        RunSQLFile("views/0001_all_candles.sql", "views/0001_fence_down.sql"),
        RunSQLFile("functions/0001_ledger.sql", None),
        RunSQLFile("functions/0001_merge_candles.sql", None),
        RunSQLFile("functions/0001_retention.sql", "functions/0001_functions_down.sql"),
        RunSQLFile("upkeep/{upkeep}.sql", "upkeep/{upkeep}_down.sql"),
        RunSQLFile(None, "views/0001_all_candles_down.sql"),
        migrations.RunPython(draw_lines, migrations.RunPython.noop),
        RunSQLFile(None, "tables/0001_guard_down.sql"),
    ]
