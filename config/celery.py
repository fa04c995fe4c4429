"""The task queue and its timetable.

Entries that the database lacks are written there, and no others: what an operator changes in the admin stays.
"""

import os
from typing import Any

from celery import Celery
from celery.signals import beat_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

# Entry name: (task, minutes between two runs).
TIMETABLE = {
    # Retention, and the rollups of editions without policies: as often as the finest of them, 5m, changes.
    "upkeep": ("krakendata.tasks.upkeep", 5),
}

app = Celery("krakendata")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


def write_timetable(**_: Any) -> None:
    """Add the entries of the timetable that the database does not have yet."""
    from django_celery_beat.models import IntervalSchedule, PeriodicTask

    for name, (task, minutes) in TIMETABLE.items():
        schedule, _created = IntervalSchedule.objects.get_or_create(
            every=minutes, period=IntervalSchedule.MINUTES
        )
        PeriodicTask.objects.get_or_create(name=name, defaults={"task": task, "interval": schedule})


beat_init.connect(write_timetable)
