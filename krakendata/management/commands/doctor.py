"""`manage.py doctor`: every system check, what to mend, and what a newcomer does next."""

import json
from argparse import ArgumentParser
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.checks import ERROR, CheckMessage, run_checks
from django.core.management.base import BaseCommand, CommandError

from krakendata.checks import ERRORS_TO_THE_DOCTOR
from krakendata.models import Candle


class Command(BaseCommand):
    """Prints a line per finding and one for the next step; exit 1 when there is an error."""

    help = "Run every check and say what to do next."
    # It runs them itself, and reports rather than stops.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line")

    def handle(self, *args: Any, **options: Any) -> None:
        findings = run_checks(include_deployment_checks=False)
        errors = [finding for finding in findings if is_error(finding)]
        for finding in findings:
            self.stdout.write(told(finding))
        if not findings:
            self.stdout.write("Everything is in order.")
        advice = "Mend the errors above, then run manage.py doctor again." if errors else next_step()
        self.stdout.write(f"Next: {advice}")
        if options["json"]:
            self.stdout.write(json.dumps({"findings": [facts(each) for each in findings], "next": advice}))
        if errors:
            raise CommandError(f"{len(errors)} to mend.", returncode=1)


def is_error(finding: CheckMessage) -> bool:
    return finding.level >= ERROR or finding.id in ERRORS_TO_THE_DOCTOR


def told(finding: CheckMessage) -> str:
    level = "error" if is_error(finding) else "warning"
    return f"{level} {finding.id}: {finding.msg}{f' {finding.hint}' if finding.hint else ''}"


def facts(finding: CheckMessage) -> dict[str, str | None]:
    level = "error" if is_error(finding) else "warning"
    return {"id": finding.id, "level": level, "message": finding.msg, "hint": finding.hint}


def next_step() -> str:
    """Say what a newcomer whose house is in order does next."""
    if not Candle.objects.exists():
        return "manage.py import_csv PATH brings in Kraken's archives; manage.py generate_archive makes some."
    if (
        apps.is_installed("django.contrib.auth")
        and not get_user_model().objects.filter(is_superuser=True).exists()
    ):
        return "manage.py createsuperuser makes your account for the admin."
    return "make run serves the admin; manage.py candles BTC/USD 1h shows candles here."
