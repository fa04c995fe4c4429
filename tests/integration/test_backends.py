"""The two Django backends: what becomes of a model with a time column."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from django.db import connection, models
from django.test.utils import isolate_apps
from timescale.db.models.fields import TimescaleDateTimeField

from config import env


@pytest.fixture
def reading(transactional_db: None) -> Iterator[type[models.Model]]:
    """Make the table of a model as an internal project may have it; give the model."""
    with isolate_apps("krakendata"):

        class Reading(models.Model):
            pk = models.CompositePrimaryKey("sensor", "moment")
            sensor = models.TextField()
            moment = TimescaleDateTimeField(interval="1 day")

            class Meta:
                app_label = "krakendata"
                db_table = "reading_of_a_test"

        with connection.schema_editor() as editor:
            editor.create_model(Reading)
        yield Reading
        with connection.schema_editor() as editor:
            editor.delete_model(Reading)


def count(statement: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return int(cursor.fetchone()[0])


def test_a_composite_key_with_the_time_column_is_kept(reading: type[models.Model]) -> None:
    key = "SELECT count(*) FROM pg_constraint WHERE conname = 'reading_of_a_test_pkey' AND contype = 'p'"
    assert count(key) == 1


@pytest.mark.timescale
def test_on_timescaledb_the_table_becomes_a_hypertable(reading: type[models.Model]) -> None:
    table = (
        "SELECT count(*) FROM timescaledb_information.hypertables WHERE hypertable_name = 'reading_of_a_test'"
    )
    assert count(table) == 1


@pytest.mark.plain
def test_a_timescale_address_of_a_plain_server_is_refused_in_one_sentence() -> None:
    url = os.environ["DATABASE_URL"].replace("postgresql:", "timescale:")
    done = subprocess.run(
        [sys.executable, "manage.py", "migrate", "--skip-checks"],
        cwd=env.ROOT,
        env={**os.environ, "DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("DATABASE_URL asks for TimescaleDB")
    assert "Traceback" not in done.stderr
