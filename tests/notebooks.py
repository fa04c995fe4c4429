"""Notebooks without Jupyter: their cells run in order, and what each shows, as Jupyter would keep it."""

from __future__ import annotations

import ast
import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

# What a value may show itself as, the richest first, and the method that tells it.
FORMS = {"image/svg+xml": "_repr_svg_", "text/html": "_repr_html_"}


def read_notebook(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def run_notebook(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook with the outputs of its code cells; what a cell raises is raised."""
    names: dict[str, Any] = {"__name__": "__main__"}
    cells = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell = cell | {"outputs": _outputs("".join(cell["source"]), names)}
        cells.append(cell)
    return notebook | {"cells": cells}


def write_notebook(path: Path, notebook: dict[str, Any]) -> None:
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _outputs(source: str, names: dict[str, Any]) -> list[dict[str, Any]]:
    """What a cell prints, and what its last expression shows."""
    tree = ast.parse(source)
    last = tree.body[-1] if tree.body else None
    shown = last if isinstance(last, ast.Expr) else None
    if shown is not None:
        tree.body.pop()
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(tree, "<cell>", "exec"), names)  # noqa: S102 (the notebook under test)
        value = eval(compile(ast.Expression(shown.value), "<cell>", "eval"), names) if shown else None  # noqa: S307
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        text = printed.getvalue().splitlines(keepends=True)
        outputs.append({"name": "stdout", "output_type": "stream", "text": text})
    if value is not None:
        data = {kind: getattr(value, name)() for kind, name in FORMS.items() if hasattr(value, name)}
        data["text/plain"] = repr(value)
        lines = {kind: text.splitlines(keepends=True) for kind, text in data.items()}
        outputs.append(
            {"data": lines, "execution_count": None, "metadata": {}, "output_type": "execute_result"}
        )
    return outputs
