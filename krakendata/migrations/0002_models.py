"""The models, in Django's state alone: 0001_storage made what they map."""

import django.db.models.functions.datetime
from django.db import migrations, models

import krakendata.models.fields


class Migration(migrations.Migration):
    dependencies = [
        ("krakendata", "0001_storage"),
    ]

    operations = [
        migrations.CreateModel(
            name="AnsweredIds",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "symbol", "first_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("symbol", models.TextField()),
                ("first_id", models.BigIntegerField()),
                ("last_id", models.BigIntegerField()),
                ("answer", models.TextField(choices=[("absent", "Absent"), ("rejected", "Rejected")])),
            ],
            options={
                "verbose_name_plural": "answered ids",
                "db_table": "answered_ids",
                "ordering": ["symbol", "first_id"],
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="Candle",
            fields=[
                ("symbol", models.TextField()),
                ("timestamp", models.DateTimeField()),
                ("open", krakendata.models.fields.NumericField()),
                ("high", krakendata.models.fields.NumericField()),
                ("low", krakendata.models.fields.NumericField()),
                ("close", krakendata.models.fields.NumericField()),
                ("volume", krakendata.models.fields.NumericField()),
                ("turnover", krakendata.models.fields.NumericField(null=True)),
                ("trade_count", models.BigIntegerField()),
                ("first_id", models.BigIntegerField(null=True)),
                ("last_id", models.BigIntegerField(null=True)),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "symbol",
                        "interval_minutes",
                        "timestamp",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("interval_minutes", models.IntegerField(default=1)),
            ],
            options={
                "db_table": "candles",
                "ordering": ["symbol", "interval_minutes", "timestamp"],
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="Candle12h",
            fields=[
                ("symbol", models.TextField()),
                ("timestamp", models.DateTimeField()),
                ("open", krakendata.models.fields.NumericField()),
                ("high", krakendata.models.fields.NumericField()),
                ("low", krakendata.models.fields.NumericField()),
                ("close", krakendata.models.fields.NumericField()),
                ("volume", krakendata.models.fields.NumericField()),
                ("turnover", krakendata.models.fields.NumericField(null=True)),
                ("trade_count", models.BigIntegerField()),
                ("first_id", models.BigIntegerField(null=True)),
                ("last_id", models.BigIntegerField(null=True)),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "symbol", "timestamp", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("vwap", krakendata.models.fields.NumericField(null=True)),
                ("coarse", models.BooleanField()),
            ],
            options={
                "verbose_name": "12-hour candle",
                "db_table": "all_candles_12h",
                "ordering": ("symbol", "timestamp"),
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="Candle15m",
            fields=[
                ("symbol", models.TextField()),
                ("timestamp", models.DateTimeField()),
                ("open", krakendata.models.fields.NumericField()),
                ("high", krakendata.models.fields.NumericField()),
                ("low", krakendata.models.fields.NumericField()),
                ("close", krakendata.models.fields.NumericField()),
                ("volume", krakendata.models.fields.NumericField()),
                ("turnover", krakendata.models.fields.NumericField(null=True)),
                ("trade_count", models.BigIntegerField()),
                ("first_id", models.BigIntegerField(null=True)),
                ("last_id", models.BigIntegerField(null=True)),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "symbol", "timestamp", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("vwap", krakendata.models.fields.NumericField(null=True)),
                ("coarse", models.BooleanField()),
            ],
            options={
                "verbose_name": "15-minute candle",
                "db_table": "all_candles_15m",
                "ordering": ("symbol", "timestamp"),
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="Candle1d",
            fields=[
                ("symbol", models.TextField()),
                ("timestamp", models.DateTimeField()),
                ("open", krakendata.models.fields.NumericField()),
                ("high", krakendata.models.fields.NumericField()),
                ("low", krakendata.models.fields.NumericField()),
                ("close", krakendata.models.fields.NumericField()),
                ("volume", krakendata.models.fields.NumericField()),
                ("turnover", krakendata.models.fields.NumericField(null=True)),
                ("trade_count", models.BigIntegerField()),
                ("first_id", models.BigIntegerField(null=True)),
                ("last_id", models.BigIntegerField(null=True)),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "symbol", "timestamp", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("vwap", krakendata.models.fields.NumericField(null=True)),
                ("coarse", models.BooleanField()),
            ],
            options={
                "verbose_name": "1-day candle",
                "db_table": "all_candles_1d",
                "ordering": ("symbol", "timestamp"),
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="Candle1h",
            fields=[
                ("symbol", models.TextField()),
                ("timestamp", models.DateTimeField()),
                ("open", krakendata.models.fields.NumericField()),
                ("high", krakendata.models.fields.NumericField()),
                ("low", krakendata.models.fields.NumericField()),
                ("close", krakendata.models.fields.NumericField()),
                ("volume", krakendata.models.fields.NumericField()),
                ("turnover", krakendata.models.fields.NumericField(null=True)),
                ("trade_count", models.BigIntegerField()),
                ("first_id", models.BigIntegerField(null=True)),
                ("last_id", models.BigIntegerField(null=True)),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "symbol", "timestamp", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("vwap", krakendata.models.fields.NumericField(null=True)),
                ("coarse", models.BooleanField()),
            ],
            options={
                "verbose_name": "1-hour candle",
                "db_table": "all_candles_1h",
                "ordering": ("symbol", "timestamp"),
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="Candle1w",
            fields=[
                ("symbol", models.TextField()),
                ("timestamp", models.DateTimeField()),
                ("open", krakendata.models.fields.NumericField()),
                ("high", krakendata.models.fields.NumericField()),
                ("low", krakendata.models.fields.NumericField()),
                ("close", krakendata.models.fields.NumericField()),
                ("volume", krakendata.models.fields.NumericField()),
                ("turnover", krakendata.models.fields.NumericField(null=True)),
                ("trade_count", models.BigIntegerField()),
                ("first_id", models.BigIntegerField(null=True)),
                ("last_id", models.BigIntegerField(null=True)),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "symbol", "timestamp", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("vwap", krakendata.models.fields.NumericField(null=True)),
                ("coarse", models.BooleanField()),
            ],
            options={
                "verbose_name": "1-week candle",
                "db_table": "all_candles_1w",
                "ordering": ("symbol", "timestamp"),
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="Candle30m",
            fields=[
                ("symbol", models.TextField()),
                ("timestamp", models.DateTimeField()),
                ("open", krakendata.models.fields.NumericField()),
                ("high", krakendata.models.fields.NumericField()),
                ("low", krakendata.models.fields.NumericField()),
                ("close", krakendata.models.fields.NumericField()),
                ("volume", krakendata.models.fields.NumericField()),
                ("turnover", krakendata.models.fields.NumericField(null=True)),
                ("trade_count", models.BigIntegerField()),
                ("first_id", models.BigIntegerField(null=True)),
                ("last_id", models.BigIntegerField(null=True)),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "symbol", "timestamp", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("vwap", krakendata.models.fields.NumericField(null=True)),
                ("coarse", models.BooleanField()),
            ],
            options={
                "verbose_name": "30-minute candle",
                "db_table": "all_candles_30m",
                "ordering": ("symbol", "timestamp"),
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="Candle4h",
            fields=[
                ("symbol", models.TextField()),
                ("timestamp", models.DateTimeField()),
                ("open", krakendata.models.fields.NumericField()),
                ("high", krakendata.models.fields.NumericField()),
                ("low", krakendata.models.fields.NumericField()),
                ("close", krakendata.models.fields.NumericField()),
                ("volume", krakendata.models.fields.NumericField()),
                ("turnover", krakendata.models.fields.NumericField(null=True)),
                ("trade_count", models.BigIntegerField()),
                ("first_id", models.BigIntegerField(null=True)),
                ("last_id", models.BigIntegerField(null=True)),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "symbol", "timestamp", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("vwap", krakendata.models.fields.NumericField(null=True)),
                ("coarse", models.BooleanField()),
            ],
            options={
                "verbose_name": "4-hour candle",
                "db_table": "all_candles_4h",
                "ordering": ("symbol", "timestamp"),
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="Candle5m",
            fields=[
                ("symbol", models.TextField()),
                ("timestamp", models.DateTimeField()),
                ("open", krakendata.models.fields.NumericField()),
                ("high", krakendata.models.fields.NumericField()),
                ("low", krakendata.models.fields.NumericField()),
                ("close", krakendata.models.fields.NumericField()),
                ("volume", krakendata.models.fields.NumericField()),
                ("turnover", krakendata.models.fields.NumericField(null=True)),
                ("trade_count", models.BigIntegerField()),
                ("first_id", models.BigIntegerField(null=True)),
                ("last_id", models.BigIntegerField(null=True)),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "symbol", "timestamp", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("vwap", krakendata.models.fields.NumericField(null=True)),
                ("coarse", models.BooleanField()),
            ],
            options={
                "verbose_name": "5-minute candle",
                "db_table": "all_candles_5m",
                "ordering": ("symbol", "timestamp"),
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="CandleRun",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "symbol",
                        "interval_minutes",
                        "first_start",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("symbol", models.TextField()),
                ("interval_minutes", models.IntegerField()),
                ("first_start", models.DateTimeField()),
                ("last_start", models.DateTimeField()),
                ("candles", models.BigIntegerField()),
            ],
            options={
                "db_table": "candle_runs",
                "ordering": ["symbol", "interval_minutes", "first_start"],
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="ImportFile",
            fields=[
                ("read", models.BigIntegerField(default=0)),
                ("stored", models.BigIntegerField(default=0)),
                ("folded", models.BigIntegerField(default=0)),
                ("duplicate", models.BigIntegerField(default=0)),
                ("rejected", models.BigIntegerField(default=0)),
                ("path", models.TextField(primary_key=True, serialize=False)),
                ("version", models.TextField()),
                ("symbol", models.TextField()),
                ("layout", models.TextField()),
                ("size", models.BigIntegerField()),
                ("next_offset", models.BigIntegerField(default=0)),
                ("next_line", models.BigIntegerField(default=1)),
                ("last_id", models.BigIntegerField(null=True)),
                ("last_start", models.DateTimeField(null=True)),
                ("done", models.BooleanField(default=False)),
                ("updated_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "db_table": "import_files",
                "ordering": ["path"],
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="Pair",
            fields=[
                ("symbol", models.TextField(primary_key=True, serialize=False)),
                ("key", models.TextField(unique=True)),
                ("altname", models.TextField(unique=True)),
                ("wsname", models.TextField(unique=True)),
                ("base", models.TextField()),
                ("quote", models.TextField()),
                ("status", models.TextField()),
                ("price_decimals", models.IntegerField()),
                ("volume_decimals", models.IntegerField()),
                ("tracked", models.BooleanField(default=False)),
            ],
            options={
                "db_table": "pairs",
                "ordering": ["symbol"],
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="RejectCount",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "run",
                        "source",
                        "reason",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("source", models.TextField()),
                ("reason", models.TextField()),
                ("count", models.BigIntegerField()),
            ],
            options={
                "db_table": "reject_counts",
                "ordering": ["run", "source", "reason"],
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="RejectedRecord",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("seen_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "source",
                    models.TextField(
                        choices=[("archive", "archive"), ("rest", "rest"), ("websocket", "websocket")]
                    ),
                ),
                ("place", models.TextField()),
                ("line", models.BigIntegerField(null=True)),
                ("symbol", models.TextField()),
                ("reason", models.TextField()),
                ("detail", models.TextField()),
                ("raw", models.TextField()),
                (
                    "state",
                    models.TextField(
                        choices=[
                            ("quarantined", "Quarantined"),
                            ("replayed", "Replayed"),
                            ("dismissed", "Dismissed"),
                        ],
                        default="quarantined",
                    ),
                ),
            ],
            options={
                "db_table": "rejected_records",
                "ordering": ["-id"],
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="RetentionLine",
            fields=[
                (
                    "kind",
                    models.TextField(
                        choices=[("trades", "Trades"), ("candles", "Candles")],
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("line", models.DateTimeField()),
                ("first_line", models.DateTimeField()),
            ],
            options={
                "db_table": "retention_lines",
                "ordering": ["kind"],
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="SyncRun",
            fields=[
                ("read", models.BigIntegerField(default=0)),
                ("stored", models.BigIntegerField(default=0)),
                ("folded", models.BigIntegerField(default=0)),
                ("duplicate", models.BigIntegerField(default=0)),
                ("rejected", models.BigIntegerField(default=0)),
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("kind", models.TextField()),
                ("parameters", models.JSONField(default=dict)),
                (
                    "state",
                    models.TextField(
                        choices=[
                            ("running", "Running"),
                            ("done", "Done"),
                            ("failed", "Failed"),
                            ("stopped", "Stopped"),
                            ("interrupted", "Interrupted"),
                        ],
                        default="running",
                    ),
                ),
                ("started_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("updated_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("finished_at", models.DateTimeField(null=True)),
                ("done", models.BigIntegerField(default=0)),
                ("total", models.BigIntegerField(null=True)),
                ("unit", models.TextField(default="bytes")),
                ("error", models.TextField(blank=True, default="")),
            ],
            options={
                "db_table": "sync_runs",
                "ordering": ["-id"],
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="SyncStatus",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "symbol", "kind", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("symbol", models.TextField()),
                ("kind", models.TextField(choices=[("trades", "Trades"), ("candles", "Candles")])),
                ("oldest_timestamp", models.DateTimeField(null=True)),
                ("newest_timestamp", models.DateTimeField(null=True)),
                ("collected", models.BigIntegerField(default=0)),
                ("stored", models.BigIntegerField(default=0)),
                ("holes", models.BigIntegerField(null=True)),
                ("cursor_ns", models.BigIntegerField(null=True)),
                ("last_success", models.DateTimeField(null=True)),
                ("last_error", models.TextField(blank=True, default="")),
                ("last_error_at", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name_plural": "sync status",
                "db_table": "data_sync_status",
                "ordering": ["symbol", "kind"],
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="Trade",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "symbol",
                        "timestamp",
                        "trade_id",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("symbol", models.TextField()),
                ("timestamp", models.DateTimeField()),
                ("trade_id", models.BigIntegerField()),
                ("price", krakendata.models.fields.NumericField()),
                ("volume", krakendata.models.fields.NumericField()),
                ("side", models.TextField(null=True)),
                ("order_type", models.TextField(null=True)),
            ],
            options={
                "db_table": "trades",
                "ordering": ["symbol", "timestamp", "trade_id"],
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="TradeRun",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "symbol", "first_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("symbol", models.TextField()),
                ("first_id", models.BigIntegerField()),
                ("last_id", models.BigIntegerField()),
                ("first_ns", models.BigIntegerField()),
                ("last_ns", models.BigIntegerField()),
                ("trades", models.BigIntegerField()),
                ("source", models.TextField()),
                ("stored", models.BooleanField()),
            ],
            options={
                "db_table": "trade_runs",
                "ordering": ["symbol", "first_id"],
                "managed": False,
            },
        ),
    ]
