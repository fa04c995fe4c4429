"""One version, wherever it is written."""

import re
import tomllib

import pytest

from config import env

CHANGELOG = env.ROOT / "CHANGELOG.md"


@pytest.mark.skipif(not CHANGELOG.exists(), reason="there is no CHANGELOG.md yet")
def test_the_package_has_the_newest_version_of_the_changelog() -> None:
    project = tomllib.loads((env.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    newest = re.search(r"^## \[?(\d+\.\d+\.\d+)", CHANGELOG.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert newest is not None
    assert project["version"] == newest[1]
