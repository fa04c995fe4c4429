"""The stairs of the house: imports go down only."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
LINT = "from importlinter.cli import lint_imports_command as run; run()"


def test_the_import_contracts_hold() -> None:
    # A process of its own: import-linter looks through every loaded class, and some of Django's friends mind.
    command = [sys.executable, "-c", LINT, "--no-cache"]
    outcome = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
