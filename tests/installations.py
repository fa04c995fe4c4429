"""Installations of their own on the server under test: a migrated database, and manage.py on it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import psycopg

from config import env
from krakendata.storage.conninfo import arguments_from_url

# Migrated once a run: copying it takes a tenth of the time.
TEMPLATE = "krakendata_template"

PROGRAM = "import sys; sys.argv[0] = 'manage.py'; from manage import main; main()"


@dataclass(frozen=True)
class Installation:
    """A migrated database of its own, and manage.py on it."""

    url: str
    program: str = PROGRAM

    def start(self, *arguments: str, **settings: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", self.program, *arguments],
            cwd=env.ROOT,
            env={**os.environ, "DATABASE_URL": self.url, **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, **settings: str) -> str:
        process = self.start(*arguments, **settings)
        output, _ = process.communicate()
        assert process.returncode == 0, output
        return output

    def fetch(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with self.connect() as connection:
            return connection.execute(sql, parameters or None).fetchall()

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(**arguments_from_url(self.url), options="-c timezone=UTC")


@contextmanager
def installed(name: str, program: str = PROGRAM) -> Iterator[Installation]:
    """A new database of this name, migrated; dropped afterwards. `program` stands in for manage.py."""
    server = os.environ["DATABASE_URL"]
    with psycopg.connect(**arguments_from_url(server), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        try:
            yield Installation(make_migrated(connection, server, name), program)
        finally:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def make_migrated(connection: psycopg.Connection, server: str, name: str) -> str:
    """Make the database; give its address."""
    # TimescaleDB's own processes look into every database, and what is looked into cannot be copied. On a server that
    # is not this run's alone nothing is left behind.
    if os.environ["TEST_EDITION"] != "plain" or "TEST_DATABASE_URL" in os.environ:
        return migrated(connection, server, name)
    connection.execute("SELECT pg_advisory_lock(hashtext(%s))", [TEMPLATE])
    try:
        if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [TEMPLATE]).fetchone():
            migrated(connection, server, TEMPLATE)
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    finally:
        connection.execute("SELECT pg_advisory_unlock(hashtext(%s))", [TEMPLATE])
    return address(server, name)


def migrated(connection: psycopg.Connection, server: str, name: str) -> str:
    connection.execute(f"CREATE DATABASE {name}")
    Installation(address(server, name)).run("migrate", "--no-input", "-v", "0")
    return address(server, name)


def address(server: str, name: str) -> str:
    return urlsplit(server)._replace(path=f"/{name}").geturl()
