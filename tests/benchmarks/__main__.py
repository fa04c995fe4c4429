"""`make bench`: measure on every edition found and write the tables of docs/performance.md.

`python -m tests.benchmarks [--scale 1.0] [--edition plain community] [--dry-run]`
"""

import argparse
import os
import platform
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks.imports import ImportResult, make_files, measure_import
from tests.benchmarks.reads import ReadResult, measure_reads
from tests.benchmarks.servers import bench_server
from tests.benchmarks.storage import StorageResult, measure_storage
from tests.editions import Place, find_place

PAGE = Path("docs/performance.md")
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def main() -> None:
    """Run, print, and put the figures into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full row counts")
    parser.add_argument("--edition", nargs="+", default=["community", "apache", "plain"])
    parser.add_argument("--dry-run", action="store_true", help="print the figures and leave the page alone")
    arguments = parser.parse_args()
    sections = [machine(arguments.scale)]
    with tempfile.TemporaryDirectory(prefix="krakendata-bench-") as directory:
        # The server of a run as root is another user.
        Path(directory).chmod(0o755)
        files = make_files(Path(directory), arguments.scale)
        for edition in arguments.edition:
            place = find_place(edition)
            if isinstance(place, str):
                sections.append(f"### {edition}\n\nNot measured: {place}.")
                continue
            sections.append(measure(place, files, Path(directory) / edition))
            print(sections[-1], flush=True)
    figures = "\n\n".join(sections)
    if not arguments.dry_run:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        PAGE.write_text(f"{before}{BEGIN}\n\n{figures}\n\n{END}{after}", encoding="utf-8")


def machine(scale: float) -> str:
    """Where and when."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {memory:.0f} GB of memory, "
        f"Python {platform.python_version()}, scale {scale:g}."
    )


def measure(place: Place, files: dict[str, tuple[Path, str, int]], directory: Path) -> str:
    """Everything on one edition, as Markdown."""
    imports: list[ImportResult] = []
    storage: list[StorageResult] = []
    reads: list[ReadResult] = []
    with bench_server(place, directory) as server:
        version = server.run_psql("postgres", "SHOW server_version").strip()
        for name, (path, table, rows) in files.items():
            imports.append(measure_import(server, name, path, table, rows))
            if table == "candles":
                reads = measure_reads(server)
            if place.edition == "community" and name != "trades, schema A":
                storage.append(measure_storage(server, table))
    return "\n\n".join(
        part
        for part in (
            f"### {place.edition} (PostgreSQL {version})",
            imports_table(imports),
            reads_table(reads),
            storage_table(storage) if storage else "",
        )
        if part
    )


def imports_table(results: list[ImportResult]) -> str:
    head = (
        "| import | rows | rows/s | ratio to `psql \\copy` | every timeframe right after | "
        "ratio to bare `GROUP BY`s | peak memory |\n|---|---|---|---|---|---|---|"
    )
    lines = [
        f"| {each.name} | {each.rows:,} | {each.rows / each.write_seconds:,.0f} | {each.ratio:.2f} | "
        f"{each.refresh_seconds:.1f} s | {each.refresh_ratio:.1f} | {each.peak_mb:.0f} MB |"
        for each in results
    ]
    return "\n".join([head, *lines])


def reads_table(results: list[ReadResult]) -> str:
    head = "| read | provider, median | bare psycopg, median | ratio | floor |\n|---|---|---|---|---|"
    lines = [
        f"| {each.name} | {each.provider_ms:.1f} ms | {each.bare_ms:.1f} ms | "
        f"{each.provider_ms / each.bare_ms:.2f} | {each.floor_ms} ms |"
        for each in results
    ]
    return "\n".join([head, *lines])


def storage_table(results: list[StorageResult]) -> str:
    head = "| table | rows | bytes a row | compressed | saved |\n|---|---|---|---|---|"
    lines = [
        f"| {each.table} | {each.rows:,} | {each.before:.0f} | {each.after:.1f} | {each.saved:.0%} |"
        for each in results
    ]
    return "\n".join([head, *lines])


if __name__ == "__main__":
    main()
