"""The room for SQL: every statement Python may run, by name, and every file a migration may run, by path."""

import re
from functools import cache
from importlib.resources import files

STATEMENT_FILES = ("queries.sql", "reads.sql", "desk.sql", "metrics.sql")


@cache
def read_file(path: str) -> str:
    """Return the text of one SQL file, `path` being relative to this folder (`rollups/tables.sql`)."""
    return files(__package__).joinpath(path).read_text(encoding="utf-8")


@cache
def _queries() -> dict[str, str]:
    statements = "\n".join(read_file(path) for path in STATEMENT_FILES)
    return statements_by_name(statements)


def statements_by_name(text: str) -> dict[str, str]:
    """The statements under their banners; ValueError where two have one name."""
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
    found: dict[str, str] = {}
    for name, statement in zip(parts[1::2], parts[2::2], strict=True):
        if name in found:
            raise ValueError(f"Two statements are named {name}.")
        found[name] = statement.strip()
    return found


def query(name: str) -> str:
    """Return the statement under the banner `-- name: <name>` of any of the files; KeyError if there is none."""
    return _queries()[name]
