#!/usr/bin/env python
"""Run one of the project's commands: `python manage.py help` lists them."""

import os
import sys

from django.core.management import execute_from_command_line

from krakendata.errors import ConfigurationError, KrakenDataError


def main() -> None:
    """Run the command that the arguments name; what stops it is one sentence, exit 2 for a setting."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        execute_from_command_line(sys.argv)
    except KrakenDataError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2 if isinstance(error, ConfigurationError) else 1)


if __name__ == "__main__":
    main()
