"""Fixtures come by topic from the `fix_*.py` beside this; `early_databases.py` starts the servers."""

from pathlib import Path

pytest_plugins = sorted(f"tests.{path.stem}" for path in Path(__file__).parent.glob("fix_*.py"))
