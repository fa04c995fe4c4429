"""Migrations: clean, repeatable, reversible while nothing would be lost, and their SQL never edited once released."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command

import krakendata.storage.sql
from krakendata.storage.conninfo import arguments_from_url
from tests.installations import Installation, installed

SQL = Path(krakendata.storage.sql.__file__).parent
CHECKSUMS = Path(__file__).parent.parent / "sql_checksums.txt"
# Statements run by name, and policies that every migrate applies anew, may change.
CHANGING = ("upkeep", "queries.sql", "reads.sql", "desk.sql", "metrics.sql")

SCHEMA = r"""
    SELECT 'relation', c.relname || ' ' || c.relkind::text, 
           -- TimescaleDB counts its hypertables on and on.
           regexp_replace(coalesce(pg_get_viewdef(c.oid), ''), '(_hypertable_|watermark\()\d+', '\1', 'g')
    FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
    UNION ALL
    SELECT 'column', table_name || '.' || column_name, data_type || is_nullable || coalesce(column_default, '')
    FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL
    SELECT 'function', p.oid::regprocedure::text, md5(p.prosrc) FROM pg_proc p
    WHERE p.pronamespace = 'public'::regnamespace
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
    UNION ALL
    SELECT 'constraint', conrelid::regclass::text || ' ' || conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace
    ORDER BY 1, 2, 3
"""


@pytest.fixture
def installation() -> Iterator[Installation]:
    with installed("migrations") as installation:
        yield installation


def execute(installation: Installation, *statements: str) -> None:
    with psycopg.connect(**arguments_from_url(installation.url), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def sums() -> dict[str, str]:
    """The checksum of every file that a migration runs."""
    return {
        str(path.relative_to(SQL)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(SQL.rglob("*.sql"))
        if path.relative_to(SQL).parts[0] not in CHANGING
    }


@pytest.mark.django_db
def test_the_models_need_no_further_migration(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("makemigrations", "--check", "--dry-run")
    assert "No changes detected" in capsys.readouterr().out


def test_released_sql_is_as_it_was_released() -> None:
    lines = CHECKSUMS.read_text(encoding="ascii").splitlines()
    recorded = {path: checksum for checksum, path in (line.split("  ") for line in lines)}
    assert sums() == recorded, (
        "a released file is never edited: write a later one, and a migration that runs it"
    )


def test_a_second_migrate_changes_nothing(installation: Installation) -> None:
    before = installation.fetch(SCHEMA)
    assert "No migrations to apply" in installation.run("migrate", "--no-input")
    assert installation.fetch(SCHEMA) == before


def test_down_and_up_again_gives_the_same_database(installation: Installation) -> None:
    before = installation.fetch(SCHEMA)
    installation.run("migrate", "--no-input", "krakendata", "zero")
    left = {name.split()[0] for kind, name, _ in installation.fetch(SCHEMA) if kind == "relation"}
    assert {name for name in left if not name.startswith(("django_", "auth_"))} == set()
    installation.run("migrate", "--no-input", "-v", "0")
    assert installation.fetch(SCHEMA) == before


def refused(installation: Installation) -> str:
    process = installation.start("migrate", "--no-input", "krakendata", "zero")
    output, _ = process.communicate()
    assert process.returncode != 0
    return output


MOVE = "UPDATE retention_lines SET first_line = first_line - interval '7 days'"
HISTORY = "INSERT INTO candles_history VALUES ('BTC/USD', 1440, '2020-01-06 00:00+00', 1, 1, 1, 1, 1, 1, 1)"


def test_the_way_down_is_refused_once_history_would_be_lost(installation: Installation) -> None:
    before = installation.fetch(SCHEMA)
    execute(installation, MOVE, HISTORY)
    assert "candles_history holds the only copy" in refused(installation)
    assert installation.fetch(SCHEMA) == before


@pytest.mark.parametrize("statement", [MOVE, HISTORY], ids=["moved, nothing below", "never moved"])
def test_the_way_down_is_open_while_nothing_is_lost(installation: Installation, statement: str) -> None:
    execute(installation, statement)
    installation.run("migrate", "--no-input", "-v", "0", "krakendata", "zero")


def policies(installation: Installation) -> list[tuple[Any, ...]]:
    return installation.fetch("SELECT * FROM found_policies() ORDER BY kind, relation")


@pytest.mark.community
def test_changed_settings_take_effect_on_the_next_migrate(installation: Installation) -> None:
    before = policies(installation)
    changed = {
        "COMPRESS_TRADES_AFTER_DAYS": "3",
        "RETENTION_CANDLES_DAYS": "700",
        "RETENTION_TRADES_DAYS": "80",
    }
    installation.run("migrate", "--no-input", "-v", "0", **changed)
    assert set(policies(installation)) - set(before) == {
        ("compress", "trades", str(3 * 86400)),
        ("retention", "trades, candles", "80 700"),
    }
