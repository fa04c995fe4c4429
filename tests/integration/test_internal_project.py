"""An internal Django project installs krakendata, points a database at it and uses the models."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest

from config import env
from krakendata.storage.conninfo import arguments_from_url

NAME = "internal_project"


@pytest.fixture
def database_url() -> Iterator[str]:
    """Give the address of an empty database on the server under test."""
    url = os.environ["DATABASE_URL"]
    with psycopg.connect(**arguments_from_url(url), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {NAME}")
        yield urlsplit(url)._replace(path=f"/{NAME}").geturl()
        connection.execute(f"DROP DATABASE {NAME} WITH (FORCE)")


def test_a_minimal_project_migrates_and_reads_through_the_models(database_url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.internal_project.use_models"],
        cwd=env.ROOT,
        env={"PATH": os.environ["PATH"], "INTERNAL_DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"Candle": 0, "Candle1h": 0, "Trade": 0}
