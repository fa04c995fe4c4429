"""Which editions of the database this machine can test on, and why not the others."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from krakendata.storage.conninfo import arguments_from_url, redacted

EDITIONS = ("plain", "community", "apache")
OLDEST_POSTGRES = 15
# What a throw-away server may leave out: it never survives a crash, nor should it.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
LICENCES = {"community": "timescale", "apache": "apache"}


@dataclass(frozen=True)
class Place:
    """Where an edition runs: on a server that is there, or on one started from these binaries."""

    edition: str
    source: str
    url: str | None = None
    binaries: Path | None = None

    @property
    def scheme(self) -> str:
        return "postgresql" if self.edition == "plain" else "timescale"

    @property
    def settings(self) -> dict[str, str]:
        """Give the settings of a private server; the numbers are `doctor`'s, with room for parallel tests."""
        if self.edition == "plain":
            return FAST
        return {
            **FAST,
            "shared_preload_libraries": "timescaledb",
            "timescaledb.telemetry_level": "off",
            "timescaledb.license": LICENCES[self.edition],
            "max_worker_processes": "32",
            "timescaledb.max_background_workers": "16",
            "max_locks_per_transaction": "512",
        }


def find_place(edition: str, environ: Mapping[str, str] = os.environ) -> Place | str:
    """Give where the edition runs, or a sentence saying why it cannot."""
    url = environ.get("TEST_DATABASE_URL")
    if url and edition_of_server(url) == edition:
        return Place(edition, f"TEST_DATABASE_URL {redacted(url)}", url=url)
    if edition == "plain":
        return Place("plain", "the embedded wheel")
    reasons = []
    for binaries in binary_directories(environ):
        reason = unfit(binaries, edition)
        if reason is None:
            return Place(edition, str(binaries), binaries=binaries)
        reasons.append(f"{binaries} {reason}")
    return "; ".join(reasons) or "no PostgreSQL found beside the wheel: name one in TEST_PG_BINDIR"


def edition_of_server(url: str) -> str:
    """Ask the server which edition it is."""
    with psycopg.connect(**arguments_from_url(url)) as connection:
        loaded = connection.execute("SHOW shared_preload_libraries").fetchone()
        if loaded is None or "timescaledb" not in loaded[0]:
            return "plain"
        licence = connection.execute("SELECT current_setting('timescaledb.license', true)").fetchone()
        return "apache" if licence is not None and licence[0] == "apache" else "community"


def binary_directories(environ: Mapping[str, str]) -> list[Path]:
    """List the `bin` directories of the machine's PostgreSQLs, the one asked for first, then the newest."""
    if named := environ.get("TEST_PG_BINDIR"):
        return [Path(named)]
    found: list[Path] = []
    if pg_config := shutil.which("pg_config"):
        answer = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        found.append(Path(answer.stdout.strip()))
    found.append(Path("/usr/local/pgsql/bin"))
    found.extend(sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_number, reverse=True))
    return [path for path in dict.fromkeys(path.resolve() for path in found) if (path / "initdb").exists()]


def unfit(binaries: Path, edition: str) -> str | None:
    """Say why these binaries cannot serve a TimescaleDB edition; None when they can."""
    answer = subprocess.run([binaries / "postgres", "--version"], capture_output=True, text=True, check=False)
    version = re.search(r"(\d+)", answer.stdout)
    if version is None or int(version[1]) < OLDEST_POSTGRES:
        return f"is older than PostgreSQL {OLDEST_POSTGRES}"
    root = binaries.parent
    shares = (
        root / "share" / "extension",
        root / "share" / "postgresql" / "extension",
        Path("/usr/share/postgresql") / root.name / "extension",
    )
    if not any((share / "timescaledb.control").exists() for share in shares):
        return "has no timescaledb extension"
    if edition == "community" and not _exist((root / "lib").rglob("timescaledb-tsl*")):
        return "has TimescaleDB without its Community part"
    return None


def _exist(paths: Iterable[Path]) -> bool:
    return next(iter(paths), None) is not None


def _number(path: Path) -> int:
    name = path.parent.name
    return int(name) if name.isdigit() else 0
