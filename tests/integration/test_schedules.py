"""The timetable in the admin: in words, with the next run, changed in its place."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    PeriodicTasks,
)

from config.celery import TIMETABLE, write_timetable
from krakendata.models import OperatorAction
from krakendata.security.roles import OPERATOR, VIEWER
from tests.fix_people import LogIn

pytestmark = pytest.mark.django_db

PAGE = reverse("admin:krakendata_schedules")


@pytest.fixture(autouse=True)
def timetable(db: None) -> None:
    write_timetable()


def entry(name: str) -> Any:
    return PeriodicTask.objects.select_related("interval", "crontab").get(name=name)


def body(client: Client) -> str:
    found = client.get(PAGE)
    assert found.status_code == 200
    return " ".join(found.content.decode().split())


def edit(client: Client, name: str, when: str, is_on: bool = True) -> str:
    form = {"when": when, **({"enabled": "on"} if is_on else {})}
    answer = client.post(reverse("admin:krakendata_schedule_edit", args=[entry(name).pk]), form, follow=True)
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def test_every_entry_is_told_in_words(log_in: LogIn) -> None:
    found = body(log_in(VIEWER))
    assert all(name in found for name in TIMETABLE)
    for words in ("every minute", "every 5 minutes", "daily at 00:07 UTC", "daily at 04:37 UTC"):
        assert f'<td data-title="Runs">{words}</td>' in found


def test_the_next_run_is_told(log_in: LogIn) -> None:
    last = timezone.now() - timedelta(minutes=4)
    PeriodicTask.objects.filter(name="upkeep").update(last_run_at=last)
    following = last + timedelta(minutes=5)
    found = body(log_in(VIEWER))
    assert f"{following:%Y-%m-%d %H:%M:%S}" in found
    tomorrow = (timezone.now() + timedelta(days=1)).date()
    assert f"{timezone.now().date()} 04:37:00" in found or f"{tomorrow} 04:37:00" in found


def test_beat_that_does_not_run_is_told(log_in: LogIn) -> None:
    PeriodicTask.objects.filter(name="gaps").update(last_run_at=timezone.now() - timedelta(hours=1))
    assert body(log_in(VIEWER)).count("is beat running?") == 1


def test_a_viewer_changes_nothing_and_is_not_asked(log_in: LogIn) -> None:
    client = log_in(VIEWER)
    assert 'name="when"' not in body(client)
    address = reverse("admin:krakendata_schedule_edit", args=[entry("gaps").pk])
    assert client.post(address, {"when": "5m"}).status_code == 403
    assert entry("gaps").interval.every == 1


@pytest.mark.parametrize(
    ("when", "words"),
    [
        ("30s", "every 30 seconds"),
        ("3m", "every 3 minutes"),
        ("2h", "every 2 hours"),
        ("03:05", "daily at 03:05 UTC"),
    ],
)
def test_an_operator_changes_when_a_task_runs(when: str, words: str, log_in: LogIn) -> None:
    before = PeriodicTasks.last_change()
    found = edit(log_in(OPERATOR), "gaps", when)
    assert f"gaps runs {words}" in found
    assert f'value="{when}"' in found
    changed = entry("gaps")
    assert changed.enabled
    assert (changed.interval is None) != (changed.crontab is None)
    # Beat looks at this, and begins anew.
    assert PeriodicTasks.last_change() != before


def test_what_nobody_takes_expires_before_the_next_one_also_after_a_change(log_in: LogIn) -> None:
    edit(log_in(OPERATOR), "gaps", "10m")
    assert entry("gaps").expire_seconds == 595
    edit(log_in(OPERATOR), "gaps", "00:10")
    assert entry("gaps").expire_seconds == 86_395


def test_an_operator_switches_off_and_on(log_in: LogIn) -> None:
    client = log_in(OPERATOR)
    assert "audit is switched off" in edit(client, "audit", "04:37", is_on=False)
    assert not entry("audit").enabled
    edit(client, "audit", "04:37")
    assert entry("audit").enabled
    assert int(entry("audit").crontab.hour) == 4


@pytest.mark.parametrize("when", ["soon", "1s", "25:00", "'; DROP TABLE x; --", "<b>5m</b>"])
def test_what_cannot_be_read_changes_nothing_and_says_how_to_write_it(when: str, log_in: LogIn) -> None:
    found = edit(log_in(OPERATOR), "gaps", when)
    assert "gaps stays as it was." in found
    assert "<b>5m</b>" not in found
    assert entry("gaps").interval.every == 1


def test_a_schedule_that_only_beat_can_write_stays_while_it_is_switched(log_in: LogIn) -> None:
    task = entry("audit")
    task.crontab = CrontabSchedule.objects.create(minute="*/7", hour="1-3")
    task.save()
    found = edit(log_in(OPERATOR), "audit", "", is_on=False)
    assert "crontab */7 1-3 * * * (UTC)" in found
    assert entry("audit").crontab == task.crontab


def test_two_intervals_of_one_length_do_no_harm(log_in: LogIn) -> None:
    for _ in range(2):
        IntervalSchedule.objects.create(every=9, period=IntervalSchedule.MINUTES)
    assert "every 9 minutes" in edit(log_in(OPERATOR), "gaps", "9m")
    assert IntervalSchedule.objects.filter(every=9).count() == 2


def test_an_entry_that_runs_once_is_shown(log_in: LogIn) -> None:
    clocked = ClockedSchedule.objects.create(clocked_time=timezone.now() + timedelta(hours=1))
    PeriodicTask.objects.create(name="once", task="krakendata.tasks.audit", clocked=clocked, one_off=True)
    assert "once" in body(log_in(OPERATOR))


def test_beats_own_entries_are_left_alone(log_in: LogIn) -> None:
    own = PeriodicTask.objects.create(
        name="celery.backend_cleanup", task="celery.backend_cleanup", interval=entry("gaps").interval
    )
    client = log_in(OPERATOR)
    assert own.name not in body(client)
    for pk in (own.pk, 4_000_000):
        assert client.post(reverse("admin:krakendata_schedule_edit", args=[pk])).status_code == 404


def test_a_change_is_in_the_operators_log(log_in: LogIn) -> None:
    edit(log_in(OPERATOR), "gaps", "3m")
    done = OperatorAction.objects.get()
    assert (done.who, done.action, done.target) == (OPERATOR, "edit_schedule", "gaps: 3m, on")
    assert "runs every 3 minutes" in done.said


def test_an_empty_timetable_says_what_to_start(log_in: LogIn) -> None:
    PeriodicTask.objects.all().delete()
    assert "celery -A config beat" in body(log_in(VIEWER))


def test_the_page_asks_little(log_in: LogIn, django_assert_max_num_queries: Any) -> None:
    client = log_in(OPERATOR)
    with django_assert_max_num_queries(9):
        client.get(PAGE)
