"""`make bench`: measure on every edition found and write the tables of docs/performance.md.

`python -m tests.benchmarks [--only SECTION ...] [--scale 1.0] [--edition plain community] [--dry-run]`

The sections are imports, reads, growth, exchange, live and pages.
"""

import argparse
import os
import platform
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks.exchange import measure_exchange
from tests.benchmarks.growth import measure_growth
from tests.benchmarks.imports import ImportResult, make_files, measure_import
from tests.benchmarks.live import measure_live
from tests.benchmarks.pages import measure_pages
from tests.benchmarks.read_market import make_archives
from tests.benchmarks.reads import measure_reads
from tests.benchmarks.servers import BenchServer, bench_server
from tests.benchmarks.storage import StorageResult, measure_storage
from tests.benchmarks.tables import (
    exchange_tables,
    growth_tables,
    imports_table,
    live_tables,
    pages_tables,
    reads_tables,
    storage_table,
)
from tests.editions import find_place

PAGE = Path("docs/performance.md")

# What is measured on a server, as pieces of Markdown.
Measure = Callable[[BenchServer], list[str]]


def main() -> None:
    """Run, print, and put the figures into the page; a section that does not run keeps those it has."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=SECTIONS, default=[*SECTIONS], help="the sections to run"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full row counts")
    parser.add_argument("--edition", nargs="+", default=["community", "apache", "plain"])
    parser.add_argument("--dry-run", action="store_true", help="print the figures and leave the page alone")
    arguments = parser.parse_args()
    for name in arguments.only:
        figures = measured(name, arguments.edition, arguments.scale)
        if not arguments.dry_run:
            page = PAGE.read_text(encoding="utf-8")
            PAGE.write_text(with_figures(page, name, figures), encoding="utf-8")


def measured(name: str, editions: Sequence[str], scale: float) -> str:
    """A section's figures on each edition that is found, as Markdown."""
    parts = [machine(scale)]
    with tempfile.TemporaryDirectory(prefix="krakendata-bench-") as path:
        directory = Path(path)
        # The server of a run as root is another user.
        directory.chmod(0o755)
        measure = SECTIONS[name](directory, scale)
        for edition in editions:
            place = find_place(edition)
            if isinstance(place, str):
                parts.append(f"### {edition}\n\nNot measured: {place}.")
                continue
            with bench_server(place, directory / edition) as server:
                version = server.run_psql("postgres", "SHOW server_version").strip()
                parts.append("\n\n".join([f"### {edition} (PostgreSQL {version})", *measure(server)]))
            print(parts[-1], flush=True)
    return "\n\n".join(parts)


def with_figures(page: str, name: str, figures: str) -> str:
    """The page with a section's figures in place of those it had."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, rest = page.partition(begin)
    after = rest.partition(end)[2]
    return f"{before}{begin}\n\n{figures}\n\n{end}{after}"


def machine(scale: float) -> str:
    """Where and when."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {memory:.0f} GB of memory, "
        f"Python {platform.python_version()}, scale {scale:g}."
    )


def imports_section(directory: Path, scale: float) -> Measure:
    """Imports, and the size of what they brought."""
    files = make_files(directory, scale)

    def measure(server: BenchServer) -> list[str]:
        imports: list[ImportResult] = []
        storage: list[StorageResult] = []
        for name, (path, table, rows) in files.items():
            imports.append(measure_import(server, name, path, table, rows))
            if server.edition == "community" and name != "trades, schema A":
                storage.append(measure_storage(server, table))
        tables = [imports_table(imports)]
        return [*tables, storage_table(storage)] if storage else tables

    return measure


def reads_section(directory: Path, scale: float) -> Measure:
    """Reads of five years of four pairs."""
    folders = make_archives(directory, scale)

    def measure(server: BenchServer) -> list[str]:
        return reads_tables(measure_reads(server, folders, directory / f"{server.edition}-reads", scale))

    return measure


def growth_section(directory: Path, scale: float) -> Measure:
    """The same questions of more and more rows."""

    def measure(server: BenchServer) -> list[str]:
        return growth_tables(measure_growth(server, scale))

    return measure


def exchange_section(directory: Path, scale: float) -> Measure:
    """Backfills and gap fills."""

    def measure(server: BenchServer) -> list[str]:
        return exchange_tables(measure_exchange(server, directory, scale))

    return measure


def live_section(directory: Path, scale: float) -> Measure:
    """What the feed hears."""

    def measure(server: BenchServer) -> list[str]:
        return live_tables(measure_live(server, directory, scale))

    return measure


def pages_section(directory: Path, scale: float) -> Measure:
    """The admin's pages."""

    def measure(server: BenchServer) -> list[str]:
        return pages_tables(measure_pages(server, directory / f"{server.edition}-pages", scale))

    return measure


SECTIONS: dict[str, Callable[[Path, float], Measure]] = {
    "imports": imports_section,
    "reads": reads_section,
    "growth": growth_section,
    "exchange": exchange_section,
    "live": live_section,
    "pages": pages_section,
}


if __name__ == "__main__":
    main()
