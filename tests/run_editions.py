"""Run the whole suite on every edition found here: `python -m tests.run_editions [pytest's arguments]`."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.editions import EDITIONS, Place, find_place

# What needs no database is the same on each.
ONCE = [
    "tests/unit",
    "tests/test_architecture.py",
    "tests/integration/test_rest.py",
    "tests/integration/test_replay_rest.py",
    "tests/integration/test_replay_websocket.py",
    "tests/acceptance/test_ccxt.py",
]
NOTHING_COLLECTED = 5

# Many tests wait for processes and clocks, so two at a time take little more than half as long. A file's tests stay
# together: they share what they have started. `-n0` among the arguments runs one after the other.
SIDE_BY_SIDE = ["-n", "2", "--dist", "loadfile"]


def main(arguments: list[str]) -> int:
    """Say which editions run and which do not and why, run them, say how each went; 1 when any failed."""
    wanted = os.environ.get("TEST_EDITION", " ".join(EDITIONS)).split()
    places = {edition: find_place(edition) for edition in wanted}
    for edition, place in places.items():
        print(f"{edition}: {f'runs on {place.source}' if isinstance(place, Place) else f'skipped, {place}'}")
    results = {
        edition: run(place, arguments) for edition, place in places.items() if isinstance(place, Place)
    }
    outcomes = {edition: told(*results[edition]) if edition in results else "skipped" for edition in places}
    print("\n" + " | ".join(f"{edition}: {outcome}" for edition, outcome in outcomes.items()))
    return int(not results or any(code for code, _ in results.values()))


def run(place: Place, arguments: list[str]) -> tuple[int, dict[str, int]]:
    """Run pytest on one edition; give its exit code and its counts."""
    print(f"\n== {place.edition} ==", flush=True)
    skipped = [] if place.edition == "plain" else [f"--ignore={path}" for path in ONCE]
    with tempfile.TemporaryDirectory() as directory:
        summary = Path(directory) / "summary.json"
        environment = {**os.environ, "TEST_EDITION": place.edition, "TEST_SUMMARY_FILE": str(summary)}
        command = [sys.executable, "-m", "pytest", *SIDE_BY_SIDE, *skipped, *arguments]
        process = subprocess.Popen(command, env=environment)
        try:
            code = process.wait()
        except KeyboardInterrupt:
            # The same Ctrl-C has reached pytest, which stops its servers before it ends.
            process.wait()
            raise
        counts = json.loads(summary.read_text(encoding="utf-8")) if summary.exists() else {}
    return (0 if code == NOTHING_COLLECTED else code), counts


def told(code: int, counts: dict[str, int]) -> str:
    numbers = ", ".join(f"{number} {kind}" for kind, number in counts.items()) or "no tests"
    return f"{numbers}{f' (exit {code})' if code else ''}"


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
