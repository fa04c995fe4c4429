"""Fixtures come by topic from the `fix_*.py` beside this; `early_databases.py` starts the servers."""

from pathlib import Path

import pytest

pytest_plugins = sorted(f"tests.{path.stem}" for path in Path(__file__).parent.glob("fix_*.py"))

# They import one another: each has to be known before the first is read.
pytest.register_assert_rewrite(*pytest_plugins)
