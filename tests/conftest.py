"""Fixtures come by topic from the `fix_*.py` beside this file; the servers are started by `early_databases.py`."""

from pathlib import Path

pytest_plugins = sorted(f"tests.{path.stem}" for path in Path(__file__).parent.glob("fix_*.py"))
