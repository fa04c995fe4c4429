"""The recorded Kraken data, where it is present."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def samples() -> Path:
    """The samples' folder: KRAKENDATA_SAMPLES, or ../shared/samples from the project."""
    folder = Path(os.environ.get("KRAKENDATA_SAMPLES") or PROJECT.parent / "shared" / "samples")
    if not folder.is_dir():
        pytest.skip(f"no recorded samples at {folder}; KRAKENDATA_SAMPLES names their folder")
    return folder
