"""What the operator's desk adds to the schema: the workers, and indexes by which it finds runs."""

import django.db.models.functions.datetime
from django.db import migrations, models

from krakendata.db.operations import RunSQLFile


class Migration(migrations.Migration):
    dependencies = [("krakendata", "0011_uploads")]

    operations = [
        RunSQLFile("tables/0012_workers.sql", "tables/0012_workers_down.sql"),
        migrations.CreateModel(
            name="Worker",
            fields=[
                ("name", models.TextField(primary_key=True, serialize=False)),
                ("started_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("alive_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "db_table": "workers",
                "ordering": ["name"],
                "permissions": [
                    ("fill_gaps", "Can have gaps filled and histories fetched"),
                    ("restart_syncrun", "Can start a failed run again"),
                    ("refresh_rollups", "Can have rollups refreshed"),
                    ("forget_worker", "Can forget workers and feeds that are gone"),
                ],
                "managed": False,
            },
        ),
        # Backwards this comes first: a database that may not be emptied keeps all of its schema.
        RunSQLFile(None, "tables/0001_guard_down.sql"),
    ]
