"""The system checks and the doctor, against a real server."""

import json
import os
import subprocess
import sys

import pytest
from django.db import connection
from pytest_django import Settings

from config import env
from krakendata.checks import check_database, check_redis

NOWHERE = "postgresql://me:hunter2@127.0.0.1:1/nowhere"


def run_manage(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=env.ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.django_db
def test_a_migrated_database_passes() -> None:
    assert check_database(None) == []


@pytest.mark.django_db
def test_another_edition_than_the_recorded_one_is_an_error(edition: str) -> None:
    other = "community" if edition == "plain" else "plain"
    with connection.cursor() as cursor:
        cursor.execute("UPDATE platform_facts SET value = %s WHERE key = 'edition'", [other])
    assert [message.id for message in check_database(None)] == ["krakendata.E001"]


@pytest.mark.django_db
def test_a_migration_that_is_not_applied_is_a_warning() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'krakendata'")
    assert [message.id for message in check_database(None)] == ["krakendata.W002"]


def test_a_redis_that_answers_passes() -> None:
    assert check_redis(None) == []


def test_a_redis_that_does_not_answer_is_a_warning(settings: Settings) -> None:
    settings.REDIS_URL = "redis://:hunter2@127.0.0.1:1/0"
    messages = check_redis(None)
    assert [message.id for message in messages] == ["krakendata.W003"]
    assert "hunter2" not in str(messages)


def test_no_redis_is_a_warning(settings: Settings) -> None:
    settings.REDIS_URL = None
    assert [message.id for message in check_redis(None)] == ["krakendata.W004"]


def test_a_project_without_redis_is_not_asked_for_one(settings: Settings) -> None:
    del settings.REDIS_URL
    assert check_redis(None) == []


def test_a_database_that_does_not_answer_is_a_warning_of_check() -> None:
    done = run_manage("check", DATABASE_URL=NOWHERE)
    assert done.returncode == 0
    assert "krakendata.W001" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr


def test_a_database_that_does_not_answer_is_an_error_of_doctor() -> None:
    done = run_manage("doctor", "--json", DATABASE_URL=NOWHERE)
    report = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 1
    assert [(each["id"], each["level"]) for each in report["findings"]] == [("krakendata.W001", "error")]
    assert "hunter2" not in done.stdout + done.stderr


@pytest.mark.plain
def test_a_timescale_address_of_a_plain_server_stops_migrate() -> None:
    url = os.environ["DATABASE_URL"].replace("postgresql:", "timescale:")
    done = run_manage("migrate", DATABASE_URL=url)
    assert done.returncode == 1
    assert "krakendata.E005" in done.stderr
    assert "krakendata.W002" not in done.stderr
