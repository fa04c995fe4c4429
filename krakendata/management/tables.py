"""Tables for people: drawn by rich in a terminal, aligned text everywhere else."""

from collections.abc import Iterable, Sequence
from itertools import zip_longest

from django.core.management.base import OutputWrapper
from rich.console import Console
from rich.table import Table

GAP = "  "


def write_table(stdout: OutputWrapper, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write `rows` of texts under `columns`, the first column to the left, the others to the right."""
    if stdout.isatty():
        _draw(stdout, columns, rows)
        return
    lines = [tuple(columns), *map(tuple, rows)]
    widths = [max(map(len, column)) for column in zip_longest(*lines, fillvalue="")]
    for line in lines:
        cells = (
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        stdout.write(GAP.join(cells).rstrip() + "\n")


def _draw(stdout: OutputWrapper, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False, collapse_padding=True)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console = Console()
    with console.capture() as drawn:
        console.print(table)
    stdout.write(drawn.get())
