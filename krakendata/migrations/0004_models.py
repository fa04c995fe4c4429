"""The models of what talking to the exchange adds, in Django's state alone."""

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("krakendata", "0003_exchange"),
    ]

    operations = [
        migrations.CreateModel(
            name="AuditFinding",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("found_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("symbol", models.TextField()),
                ("interval_minutes", models.IntegerField()),
                ("timestamp", models.DateTimeField()),
                (
                    "compared_with",
                    models.TextField(
                        choices=[("trades", "Trades"), ("minutes", "Minutes"), ("exchange", "Exchange")]
                    ),
                ),
                ("differences", models.JSONField()),
                ("healed", models.BooleanField()),
            ],
            options={
                "db_table": "audit_findings",
                "ordering": ["-id"],
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="TradeCheck",
            fields=[
                ("symbol", models.TextField(primary_key=True, serialize=False)),
                ("last_id", models.BigIntegerField()),
                ("checked_ns", models.BigIntegerField()),
            ],
            options={
                "db_table": "trade_checks",
                "ordering": ["symbol"],
                "managed": False,
            },
        ),
    ]
