"""From settings and addresses to psycopg's arguments, passwords unseen."""

import pytest

from krakendata.storage.conninfo import arguments_from_url, connection_arguments, redacted


def test_settings_become_arguments() -> None:
    database = {"HOST": "db", "PORT": 5432, "NAME": "market", "USER": "me", "PASSWORD": "p@ss", "ENGINE": "x"}
    assert connection_arguments(database) == {
        "host": "db",
        "port": 5432,
        "dbname": "market",
        "user": "me",
        "password": "p@ss",
    }


def test_empty_settings_are_left_to_libpq() -> None:
    assert connection_arguments({"HOST": "", "PORT": "", "NAME": "market"}) == {"dbname": "market"}


def test_options_of_django_stay_with_django() -> None:
    options = {"pool": True, "server_side_binding": False, "sslmode": "require"}
    assert connection_arguments({"NAME": "market", "OPTIONS": options}) == {
        "dbname": "market",
        "sslmode": "require",
    }


def test_an_address_becomes_arguments() -> None:
    assert arguments_from_url("timescale://me:p%40ss@db:5433/market") == {
        "host": "db",
        "port": 5433,
        "dbname": "market",
        "user": "me",
        "password": "p@ss",
    }


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("timescale://me:secret@db:5432/market", "timescale://me:***@db:5432/market"),
        ("timescale://me@db/market", "timescale://me@db/market"),
        ("timescale://db/market", "timescale://db/market"),
        ("timescale://me:se/cr@et?@db/market", "timescale://me:***@db/market"),
        ("timescale://me@db/market?password=secret", "timescale://me@db/market"),
    ],
)
def test_a_redacted_address_has_no_password(url: str, shown: str) -> None:
    assert redacted(url) == shown
