"""A task that is put back: the waits grow, and it is never given up."""

import pytest
from celery import Celery, Task
from celery.exceptions import Retry

from krakendata.tasks.running import WAITS, try_again


def deed() -> None:
    """Stand for what a task does."""


@pytest.mark.parametrize(("tried", "longest"), [(0, 10.0), (3, 80.0), (5_000, 600.0)])
def test_a_task_is_put_back_however_often_it_was_tried(tried: int, longest: float) -> None:
    with Celery("tests", broker="memory://", set_as_current=False) as app:
        task: Task = app.task(deed)
        task.push_request(id="1", retries=tried, called_directly=False, args=(), kwargs={})
        with pytest.raises(Retry) as raised:
            try_again(task, "the exchange is in maintenance", waits=WAITS)
    assert longest * 0.75 <= raised.value.when <= longest
    assert "maintenance" in str(raised.value.exc)
