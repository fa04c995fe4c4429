"""From Django's database settings, or an address, to what psycopg's connect() takes.

The password travels as an argument of its own and never in a text that someone might print.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

# OPTIONS that Django's backend keeps for itself; the rest are libpq's.
DJANGO_OPTIONS = frozenset(
    {"assume_role", "isolation_level", "pool", "prepare_threshold", "server_side_binding"}
)
HIDDEN = "***"


def connection_arguments(database: Mapping[str, Any]) -> dict[str, Any]:
    """Give psycopg's keyword arguments for an entry of Django's DATABASES; what is empty is left to libpq."""
    named = {
        "host": database.get("HOST"),
        "port": database.get("PORT"),
        "dbname": database.get("NAME"),
        "user": database.get("USER"),
        "password": database.get("PASSWORD"),
    }
    options = {
        name: value for name, value in database.get("OPTIONS", {}).items() if name not in DJANGO_OPTIONS
    }
    return {name: value for name, value in named.items() if value not in (None, "")} | options


def arguments_from_url(url: str) -> dict[str, Any]:
    """Give psycopg's keyword arguments for an address such as `timescale://user:password@host:5432/name`."""
    parts = urlsplit(url)
    return connection_arguments(
        {
            "HOST": unquote(parts.hostname or ""),
            "PORT": parts.port,
            "NAME": unquote(parts.path.removeprefix("/")),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
        }
    )


def redacted(url: str) -> str:
    """Give the address with stars for its password and without its query, fit for a log."""
    scheme, separator, rest = url.partition("://")
    # From the right: a password may hold any of these signs when someone forgot to escape it.
    account, at, place = rest.rpartition("@")
    user, colon, _password = account.partition(":")
    return f"{scheme}{separator}{user}{colon}{HIDDEN if colon else ''}{at}{place.partition('?')[0]}"
