"""What the operator's desk adds to the schema: its log, and the permissions to stop, resume and schedule."""

import django.db.models.functions.datetime
from django.db import migrations, models

from krakendata.db.operations import RunSQLFile


class Migration(migrations.Migration):
    dependencies = [("krakendata", "0009_reject_decisions")]

    operations = [
        RunSQLFile("tables/0010_operator_actions.sql", "tables/0010_operator_actions_down.sql"),
        migrations.CreateModel(
            name="OperatorAction",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("who", models.TextField()),
                ("action", models.TextField()),
                ("target", models.TextField(blank=True, default="")),
                ("page", models.TextField()),
                (
                    "result",
                    models.TextField(
                        choices=[
                            ("started", "Started"),
                            ("done", "Done"),
                            ("refused", "Refused"),
                            ("failed", "Failed"),
                        ],
                        default="started",
                    ),
                ),
                ("status", models.IntegerField(null=True)),
                ("said", models.TextField(blank=True, default="")),
            ],
            options={
                "db_table": "operator_actions",
                "ordering": ["-id"],
                "managed": False,
            },
        ),
        migrations.AlterModelOptions(
            name="syncrun",
            options={
                "managed": False,
                "ordering": ["-id"],
                "permissions": [
                    ("stop_syncrun", "Can stop a run"),
                    ("resume_syncrun", "Can resume a run"),
                    ("edit_schedule", "Can change when tasks run"),
                ],
            },
        ),
        # Backwards this comes first: a database that may not be emptied keeps all of its schema.
        RunSQLFile(None, "tables/0001_guard_down.sql"),
    ]
