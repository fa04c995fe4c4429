"""The timetable of Celery beat: what runs when and next, in words, and changed in its place."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.apps import apps
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from krakendata.admin.pages import deed, page_for, show
from krakendata.admin.wording import NOTHING, ago, chip, duration, second
from krakendata.schedule_words import (
    EXAMPLE,
    crontab_in_words,
    every_as_written,
    every_in_words,
    is_overdue,
    next_tick,
    parse_when,
)
from krakendata.security.operator_log import describe_action, refuse_action

DAY, HALF_A_MINUTE = timedelta(days=1), timedelta(seconds=30)
# A message that nobody took by then is dropped: the next one is due (config/celery.py).
EXPIRES_SOONER = timedelta(seconds=5)
PERIODS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


def addresses() -> tuple[tuple[str, str, Any], ...]:
    """The pages' addresses; none in a project without django-celery-beat."""
    if not apps.is_installed("django_celery_beat"):
        return ()
    return (
        ("schedules/", "krakendata_schedules", schedules),
        ("schedules/<int:pk>/", "krakendata_schedule_edit", edit),
    )


@page_for("django_celery_beat.view_periodictask")
def schedules(request: HttpRequest) -> HttpResponse:
    """Show every entry."""
    from django_celery_beat.models import PeriodicTask

    now = timezone.now()
    # Beat's own housekeeping is none of the operator's.
    entries = PeriodicTask.objects.exclude(task__startswith="celery.").select_related(
        "interval", "crontab", "solar", "clocked"
    )
    return show(
        request,
        "schedules.html",
        "Schedules",
        entries=[facts_of(entry, now) for entry in entries.order_by("name")],
        may_edit=request.user.has_perm("krakendata.edit_schedule"),
        example=EXAMPLE,
        timetable=reverse("admin:django_celery_beat_periodictask_changelist")
        if request.user.has_perm("django_celery_beat.change_periodictask")
        else None,
    )


@deed("krakendata.edit_schedule")
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Change when an entry runs, and whether."""
    from django_celery_beat.models import PeriodicTask

    entry = PeriodicTask.objects.select_related("interval", "crontab").filter(pk=pk).first()
    if entry is None or entry.task.startswith("celery."):
        raise Http404(f"There is no schedule {pk}.")
    written, is_on = request.POST.get("when", "").strip(), request.POST.get("enabled") == "on"
    describe_action(
        request, f"{entry.name}: {written[:40] or 'as before'}, {'on' if is_on else 'off'}", "edit_schedule"
    )
    try:
        if written and written != as_written(entry):
            set_when(entry, parse_when(written))
        entry.enabled = is_on
        entry.save()
    except (ValueError, ValidationError) as error:
        refuse_action(request, f"{entry.name} stays as it was. {error}")
    else:
        runs = f"runs {in_words(entry)}" if is_on else "is switched off"
        messages.success(request, f"{entry.name} {runs}. Beat follows within seconds.")
    return redirect("admin:krakendata_schedules")


def set_when(entry: Any, when: timedelta | tuple[int, int]) -> None:
    """Give the entry an interval or a time of day; its messages expire before the next one is due, as before."""
    from django_celery_beat.models import CrontabSchedule, IntervalSchedule

    entry.interval = entry.crontab = entry.solar = entry.clocked = None
    if isinstance(when, timedelta):
        text = every_as_written(when)
        # A project may have the same one twice.
        named = {"every": int(text[:-1]), "period": PERIODS[text[-1]]}
        entry.interval = IntervalSchedule.objects.filter(**named).first() or IntervalSchedule.objects.create(
            **named
        )
    else:
        hour, minute = when
        daily = {"minute": str(minute), "hour": str(hour), "timezone": "UTC"}
        anyday = dict.fromkeys(("day_of_week", "day_of_month", "month_of_year"), "*")
        found = CrontabSchedule.objects.filter(**daily, **anyday).first()
        entry.crontab = found or CrontabSchedule.objects.create(**daily, **anyday)
    if entry.expire_seconds is not None:
        every = when if isinstance(when, timedelta) else DAY
        entry.expire_seconds = max(int((every - EXPIRES_SOONER).total_seconds()), 1)


def facts_of(entry: Any, now: datetime) -> dict[str, Any]:
    """Give what `schedules.html` shows of an entry."""
    return {
        "pk": entry.pk,
        "name": entry.name,
        "task": entry.task.removeprefix("krakendata.tasks."),
        "enabled": entry.enabled,
        "words": in_words(entry),
        "written": as_written(entry),
        "last": ago(entry.last_run_at, now),
        "next": next_of(entry, now),
        "edit": reverse("admin:krakendata_schedule_edit", args=[entry.pk]),
    }


def in_words(entry: Any) -> str:
    """Say when it runs."""
    if entry.interval:
        return every_in_words(_every(entry))
    if (cron := entry.crontab) is not None:
        zone = str(cron.timezone)
        return crontab_in_words(
            cron.minute, cron.hour, cron.day_of_month, cron.month_of_year, cron.day_of_week, zone
        )
    return str(entry.solar or entry.clocked or NOTHING)


def as_written(entry: Any) -> str:
    """Write when it runs as an operator would; "" where only the timetable's own page can say it."""
    if entry.interval:
        return every_as_written(_every(entry))
    cron = entry.crontab
    is_daily = cron is not None and in_words(entry).startswith("daily at ") and str(cron.timezone) == "UTC"
    return f"{int(cron.hour):02}:{int(cron.minute):02}" if is_daily else ""


def next_of(entry: Any, now: datetime) -> str | SafeString:
    """Say when it runs next, as far as beat is running."""
    if not entry.enabled:
        return chip("off", "quiet")
    last = entry.last_run_at
    every = _every(entry) if entry.interval else DAY
    # How often anything else runs is not told by its words.
    if last is not None and as_written(entry) and is_overdue(last, every, now):
        return chip("overdue: is beat running?", "bad")
    # Of what never ran, beat counts from its own start.
    tick = next_tick(last or now, every, now) if entry.interval else None
    following = tick or now + entry.schedule.remaining_estimate(now)
    if entry.crontab:
        # A full minute; the schedule looks at a clock of its own, a moment later than ours.
        following = (following + HALF_A_MINUTE).replace(second=0, microsecond=0)
    return f"in {duration(following - now)}, {second(following)}"


def _every(entry: Any) -> timedelta:
    return timedelta(**{entry.interval.period: entry.interval.every})
