"""No line moves while somebody reads."""

from django.db import migrations

from krakendata.db.operations import RunSQLFile


class Migration(migrations.Migration):
    dependencies = [("krakendata", "0007_api_tokens")]

    operations = [
        RunSQLFile("functions/0008_retention.sql", "functions/0008_retention_down.sql"),
        # Backwards this comes first: a database that may not be emptied keeps all of its schema.
        RunSQLFile(None, "tables/0001_guard_down.sql"),
    ]
