"""What listening to the exchange adds to the schema."""

from django.db import migrations

from krakendata.db.operations import RunSQLFile


class Migration(migrations.Migration):
    dependencies = [("krakendata", "0004_models")]

    operations = [
        RunSQLFile("tables/0005_live.sql", "tables/0005_live_down.sql"),
        RunSQLFile("functions/0005_live.sql", "functions/0005_live_down.sql"),
        # Backwards this comes first: a database that may not be emptied keeps all of its schema.
        RunSQLFile(None, "tables/0001_guard_down.sql"),
    ]
