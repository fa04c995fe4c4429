"""Other people's packages, in environments below var/interop."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from config import env

HOME = env.ROOT / "var" / "interop"
CHECKS = Path(__file__).parent / "checks"
# What the layouts were proved with.
PACKAGES = {
    "freqtrade": ("freqtrade==2026.9",),
    "nautilus_trader": ("nautilus_trader==1.221.0",),
    "backtesting": ("backtesting==0.6.6", "pyarrow"),
    "vectorbt": ("vectorbt==1.2.0", "pyarrow"),
}


def ask(tool: str, folder: Path) -> Any:
    """What `checks/TOOL.py`, run in the tool's environment on an exported folder, says of it: JSON on its last line."""
    done = subprocess.run(
        [_python_of(tool), CHECKS / f"{tool}.py", folder],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def _python_of(tool: str) -> Path:
    """The interpreter of the tool's environment, which is made on the first use."""
    place = HOME / tool
    ready, python = place / "ready", place / "bin" / "python"
    wanted = " ".join(PACKAGES[tool])
    if not ready.exists() or ready.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        if uv := shutil.which("uv"):
            command = [uv, "pip", "install", "-q", "--python", str(python)]
        else:
            command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*command, *PACKAGES[tool]], check=True)
        ready.write_text(wanted, encoding="utf-8")
    return python
