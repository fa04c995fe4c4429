"""The room for SQL: every statement Python may run, by name, and every file a migration may run, by path."""

import re
from functools import cache
from importlib.resources import files

STATEMENT_FILES = ("queries.sql", "reads.sql")


@cache
def read_file(path: str) -> str:
    """Return the text of one SQL file, `path` being relative to this folder (`rollups/tables.sql`)."""
    return files(__package__).joinpath(path).read_text(encoding="utf-8")


@cache
def _queries() -> dict[str, str]:
    statements = "\n".join(read_file(path) for path in STATEMENT_FILES)
    parts = re.split(r"^-- name: (\w+)\n", statements, flags=re.MULTILINE)
    return dict(zip(parts[1::2], (text.strip() for text in parts[2::2]), strict=True))


def query(name: str) -> str:
    """Return the statement under the banner `-- name: <name>` of either file; KeyError if there is none."""
    return _queries()[name]
