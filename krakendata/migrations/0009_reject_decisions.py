"""What becomes of rejected records: decisions with a name and a time, counts of them, and what a replay needs."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

from krakendata.db.operations import RunSQLFile


class Migration(migrations.Migration):
    dependencies = [("krakendata", "0008_retention")]

    operations = [
        RunSQLFile("tables/0009_reject_decisions.sql", "tables/0009_reject_decisions_down.sql"),
        RunSQLFile("functions/0009_reject_decisions.sql", "functions/0009_reject_decisions_down.sql"),
        migrations.AlterModelOptions(
            name="rejectedrecord",
            options={
                "managed": False,
                "ordering": ["-id"],
                "permissions": [
                    ("replay_rejectedrecord", "Can replay rejected records"),
                    ("correct_rejectedrecord", "Can correct rejected records"),
                    ("dismiss_rejectedrecord", "Can dismiss rejected records"),
                ],
            },
        ),
        migrations.CreateModel(
            name="RejectDecision",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "record",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="decisions",
                        to="krakendata.rejectedrecord",
                    ),
                ),
                (
                    "action",
                    models.TextField(
                        choices=[
                            ("corrected", "Corrected"),
                            ("dismissed", "Dismissed"),
                            ("replayed", "Replayed"),
                            ("refused", "Refused"),
                        ]
                    ),
                ),
                ("decided_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("decided_by", models.TextField()),
                ("why", models.TextField(blank=True, default="")),
                ("corrected", models.TextField(null=True)),
                (
                    "outcome",
                    models.TextField(
                        blank=True,
                        choices=[("stored", "Stored"), ("folded", "Folded"), ("duplicate", "Duplicate")],
                        default="",
                    ),
                ),
                ("trade_id", models.BigIntegerField(null=True)),
                (
                    "run",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="reject_decisions",
                        to="krakendata.syncrun",
                    ),
                ),
            ],
            options={"db_table": "reject_decisions", "ordering": ["id"], "managed": False},
        ),
        # Backwards this comes first: a database that may not be emptied keeps all of its schema.
        RunSQLFile(None, "tables/0001_guard_down.sql"),
    ]
