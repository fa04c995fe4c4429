"""What uploads through the browser add to the schema."""

import django.db.models.functions.datetime
from django.db import migrations, models

from krakendata.db.operations import RunSQLFile

STATES = ("receiving", "checking", "ready", "refused", "importing", "done", "failed", "discarded")


class Migration(migrations.Migration):
    dependencies = [("krakendata", "0010_operator_actions")]

    operations = [
        RunSQLFile("tables/0011_uploads.sql", "tables/0011_uploads_down.sql"),
        migrations.CreateModel(
            name="Upload",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("owner", models.TextField()),
                ("name", models.TextField()),
                ("size", models.BigIntegerField()),
                ("received", models.BigIntegerField(default=0)),
                (
                    "state",
                    models.TextField(
                        choices=[(state, state.capitalize()) for state in STATES], default="receiving"
                    ),
                ),
                ("file", models.TextField(blank=True, default="")),
                ("fingerprint", models.TextField(blank=True, default="")),
                ("symbol", models.TextField(blank=True, null=True)),
                ("findings", models.JSONField(default=dict)),
                ("problem", models.TextField(blank=True, default="")),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("updated_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={"db_table": "uploads", "ordering": ["-id"], "managed": False},
        ),
        # Backwards this comes first: a database that may not be emptied keeps all of its schema.
        RunSQLFile(None, "tables/0001_guard_down.sql"),
    ]
