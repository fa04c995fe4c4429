"""What talking to the exchange adds to the schema."""

from django.db import migrations

from krakendata.db.operations import RunSQLFile


class Migration(migrations.Migration):
    dependencies = [("krakendata", "0002_models")]

    operations = [
        RunSQLFile("tables/0003_exchange.sql", "tables/0003_exchange_down.sql"),
        RunSQLFile("functions/0003_answers.sql", "functions/0003_answers_down.sql"),
        RunSQLFile("functions/0003_takeovers.sql", "functions/0003_takeovers_down.sql"),
        # Backwards this comes first: a database that may not be emptied keeps all of its schema.
        RunSQLFile(None, "tables/0001_guard_down.sql"),
    ]
