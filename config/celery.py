"""The task queue and its timetable.

Entries that the database lacks are written there, and no others: what an operator changes in the admin stays.
"""

import os
from datetime import timedelta
from typing import Any

from celery import Celery
from celery.signals import beat_init, worker_ready

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

# Entry name: (task, how often; a time of day in UTC means daily).
TIMETABLE: dict[str, tuple[str, timedelta | str]] = {
    # Retention, and the rollups of editions without policies: as often as the finest of them, 5m, changes.
    "upkeep": ("krakendata.tasks.upkeep", timedelta(minutes=5)),
    "gaps": ("krakendata.tasks.fill_gaps", timedelta(minutes=1)),
    "unfinished backfills": ("krakendata.tasks.resume_backfills", timedelta(minutes=5)),
    "watched folder": ("krakendata.tasks.import_watched_folder", timedelta(minutes=5)),
    "list of pairs": ("krakendata.tasks.refresh_pairs", "00:07"),
    # When the markets are quietest.
    "audit": ("krakendata.tasks.audit", "04:37"),
}

# What a worker does first: it may have been away for long.
AT_START = ("krakendata.tasks.fill_gaps", "krakendata.tasks.resume_backfills")

# A run that nobody took before the next one is due is dropped: work does not pile up while no worker is there.
EXPIRES_SOONER = timedelta(seconds=5)
DAY = timedelta(days=1)

app = Celery("krakendata")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


def write_timetable(**_: Any) -> None:
    """Add the entries of the timetable that the database does not have yet."""
    from django_celery_beat.models import PeriodicTask

    for name, (task, when) in TIMETABLE.items():
        every = DAY if isinstance(when, str) else when
        expires = int((every - EXPIRES_SOONER).total_seconds())
        PeriodicTask.objects.get_or_create(
            name=name, defaults={"task": task, "expire_seconds": expires, **schedule(when)}
        )


def schedule(when: timedelta | str) -> dict[str, Any]:
    """The field of a timetable's entry that says when it runs."""
    from django_celery_beat.models import CrontabSchedule, IntervalSchedule

    if isinstance(when, str):
        hour, minute = when.split(":")
        # Not an interval: a beat that is started anew each day would begin to count anew.
        daily, _created = CrontabSchedule.objects.get_or_create(hour=hour, minute=minute, timezone="UTC")
        return {"crontab": daily}
    minutes = when // timedelta(minutes=1)
    interval, _created = IntervalSchedule.objects.get_or_create(
        every=minutes, period=IntervalSchedule.MINUTES
    )
    return {"interval": interval}


def begin_work(**_: Any) -> None:
    """Queue what a worker does first."""
    for name in AT_START:
        app.send_task(name, expires=60)


beat_init.connect(write_timetable)
worker_ready.connect(begin_work)
