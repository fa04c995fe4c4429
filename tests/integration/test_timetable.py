"""The timetable: beat writes the entries that are missing, and what an operator changes is what runs."""

from __future__ import annotations

from datetime import timedelta

import pytest
from celery.schedules import crontab
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from config.celery import AT_START, TIMETABLE, app, write_timetable

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)
DUE = {
    "krakendata.tasks.fill_gaps": MINUTE,
    "krakendata.tasks.resume_backfills": 5 * MINUTE,
    "krakendata.tasks.import_watched_folder": 5 * MINUTE,
    "krakendata.tasks.upkeep": 5 * MINUTE,
    "krakendata.tasks.refresh_pairs": "00:07",
    "krakendata.tasks.audit": "04:37",
}


@pytest.fixture
def timetable(db: None) -> None:
    """Write the entries as a beat does that starts on an empty database."""
    write_timetable()


def entry(name: str) -> PeriodicTask:
    found: PeriodicTask = PeriodicTask.objects.get(name=name)
    return found


def scheduled() -> dict[str, timedelta | str]:
    """What beat would run, by task: how often, or when in UTC."""
    found: dict[str, timedelta | str] = {}
    for each in PeriodicTask.objects.filter(enabled=True, task__startswith="krakendata."):
        when = each.schedule
        if isinstance(when, crontab):
            (hour,), (minute,) = when.hour, when.minute
            found[each.task] = f"{hour:02}:{minute:02}"
        else:
            found[each.task] = when.run_every
    return found


def test_everything_that_is_to_happen_by_itself_has_its_time(timetable: None) -> None:
    assert scheduled() == DUE


def test_every_entry_is_a_task_that_workers_know(timetable: None) -> None:
    app.loader.import_default_modules()
    named = {task for task, _ in TIMETABLE.values()} | set(AT_START)
    assert named <= set(app.tasks)


def test_a_worker_that_starts_looks_for_gaps_and_unfinished_backfills() -> None:
    assert set(AT_START) == {"krakendata.tasks.fill_gaps", "krakendata.tasks.resume_backfills"}


def test_a_run_that_nobody_took_is_dropped_before_the_next_is_due(timetable: None) -> None:
    for name, (_, when) in TIMETABLE.items():
        every = when if isinstance(when, timedelta) else timedelta(days=1)
        assert 0 < entry(name).expire_seconds < every.total_seconds()


def test_what_an_operator_changed_stays_when_beat_starts_again(timetable: None) -> None:
    gaps, audit = entry("gaps"), entry("audit")
    gaps.interval = IntervalSchedule.objects.create(every=3, period=IntervalSchedule.MINUTES)
    gaps.save()
    audit.enabled = False
    audit.save()
    write_timetable()
    assert PeriodicTask.objects.filter(task__startswith="krakendata.").count() == len(TIMETABLE)
    changed = {**DUE, "krakendata.tasks.fill_gaps": 3 * MINUTE}
    del changed["krakendata.tasks.audit"]
    assert scheduled() == changed


def test_an_entry_that_came_with_a_newer_version_is_added(timetable: None) -> None:
    entry("audit").delete()
    write_timetable()
    assert scheduled() == DUE


def test_the_admin_changes_how_often_gaps_are_looked_for(timetable: None, client: Client) -> None:
    client.force_login(User.objects.create_superuser("operator"))
    gaps = entry("gaps")
    address = reverse("admin:django_celery_beat_periodictask_change", args=[gaps.pk])
    page = client.get(address)
    assert page.status_code == 200
    form = {
        name: "" if (value := page.context["adminform"].form[name].value()) is None else value
        for name in page.context["adminform"].form.fields
    }
    ten = IntervalSchedule.objects.create(every=10, period=IntervalSchedule.MINUTES)
    form |= {"interval": ten.pk, "last_run_at_0": "", "last_run_at_1": ""}
    answer = client.post(address, {name: value for name, value in form.items() if value is not False})
    assert answer.status_code == 302, answer.context["errors"]
    assert scheduled()["krakendata.tasks.fill_gaps"] == 10 * MINUTE
