"""The task queue and its timetable.

The timetable is written to the database where an entry is missing, so that what an operator changes in the admin stays.
"""

import os
from typing import Any

from celery import Celery
from celery.signals import beat_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

# Entry name: (task, minutes between two runs).
TIMETABLE = {
    # Retention and the rollups of the editions without policies; every 5 minutes as 5m, the finest rollup, is refreshed.
    "upkeep": ("krakendata.tasks.upkeep", 5),
}

app = Celery("krakendata")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@beat_init.connect
def write_timetable(**_: Any) -> None:
    """Add the entries of the timetable that the database does not have yet."""
    from django_celery_beat.models import IntervalSchedule, PeriodicTask

    for name, (task, minutes) in TIMETABLE.items():
        schedule, _created = IntervalSchedule.objects.get_or_create(
            every=minutes, period=IntervalSchedule.MINUTES
        )
        PeriodicTask.objects.get_or_create(name=name, defaults={"task": task, "interval": schedule})
