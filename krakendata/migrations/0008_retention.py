"""No line moves while somebody reads."""

from django.db import migrations

from krakendata.db.operations import RunSQLFile


class Migration(migrations.Migration):
    dependencies = [("krakendata", "0007_api_tokens")]

    operations = [RunSQLFile("functions/0008_retention.sql", "functions/0008_retention_down.sql")]
