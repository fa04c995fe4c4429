"""Other people's packages, in environments below var/interop."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from config import env

HOME = env.ROOT / "var" / "interop"
CHECKS = Path(__file__).parent / "checks"
# What the layouts were proved with: requirements/TOOL.in, and in TOOL.txt all that it needs.
REQUIREMENTS = Path(__file__).parent / "requirements"
PAGE = env.ROOT / "docs" / "how-to" / "use-with-other-tools.md"
# What the page calls them.
TITLES = {
    "freqtrade": "freqtrade",
    "nautilus_trader": "nautilus_trader",
    "backtesting": "backtesting.py",
    "vectorbt": "vectorbt",
}


def ask(tool: str, folder: Path) -> Any:
    """What `checks/TOOL_check.py` says of a folder of exports, in the tool's environment: JSON on its last line.

    Its argument is a file with the Python that the page shows for the tool.
    """
    code = folder / f"shown_for_{tool}.py"
    code.write_text(shown(tool, "python"), encoding="utf-8")
    return json.loads(
        run(tool, "python", str(CHECKS / f"{tool}_check.py"), str(code), folder=folder).splitlines()[-1]
    )


def run(tool: str, program: str, *arguments: str, folder: Path) -> str:
    """What a program of the tool's environment prints."""
    command = [str(_environment_of(tool) / "bin" / program), *arguments]
    # So wide that no table breaks a cell into two lines.
    environment = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def shown(tool: str, language: str) -> str:
    """The code that the page shows for a tool."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {TITLES[tool]}\n")[1].split("\n## ")[0]
    return "\n".join(re.findall(rf"^```{language}\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL))


def _environment_of(tool: str) -> Path:
    """The tool's environment, which is made on the first use, and anew when its requirements have changed."""
    place, requirements = HOME / tool, REQUIREMENTS / f"{tool}.txt"
    ready, wanted = place / "ready", requirements.read_text(encoding="utf-8")
    if not ready.exists() or ready.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        python = str(place / "bin" / "python")
        if uv := shutil.which("uv"):
            command = [uv, "pip", "install", "-q", "--python", python]
        else:
            command = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*command, "-r", requirements], check=True)
        ready.write_text(wanted, encoding="utf-8")
    return place
