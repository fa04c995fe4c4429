"""What the HTTP API adds to the schema: its tokens."""

import django.db.models.functions.datetime
from django.db import migrations, models

from krakendata.db.operations import RunSQLFile


class Migration(migrations.Migration):
    dependencies = [("krakendata", "0006_live_models")]

    operations = [
        RunSQLFile("tables/0007_api.sql", "tables/0007_api_down.sql"),
        migrations.CreateModel(
            name="ApiToken",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("name", models.TextField()),
                ("owner", models.TextField()),
                ("digest", models.TextField(unique=True)),
                ("ending", models.TextField()),
                ("scopes", models.JSONField(default=list)),
                ("requests_per_minute", models.IntegerField(blank=True, null=True)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("last_used_at", models.DateTimeField(null=True)),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("revoked_at", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name": "API token",
                "db_table": "api_tokens",
                "ordering": ["-id"],
                "managed": False,
            },
        ),
        # Backwards this comes first: a database that may not be emptied keeps all of its schema.
        RunSQLFile(None, "tables/0001_guard_down.sql"),
    ]
