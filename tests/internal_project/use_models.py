"""What the other project does: migrate, and read candles and trades through the models."""

import json
import os

import django
from django.core.management import call_command

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.internal_project.settings"
django.setup()
call_command("migrate", verbosity=0)
call_command("check")

from krakendata.models import Candle, Candle1h, Trade  # noqa: E402

counts = {model.__name__: model.objects.count() for model in (Candle, Candle1h, Trade)}
print(json.dumps(counts))  # noqa: T201
