"""The judgements of the system checks, without a server."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.checks import registry
from pytest_django import Settings

from config import env
from krakendata.checks import (
    MIDDLEWARE,
    ServerFacts,
    check_metrics,
    server_problems,
    window_problems,
    worker_problems,
)

GOOD = ServerFacts(postgres=18, timescale="2.29.2", worker_processes=32, background_workers=16, locks=512)


def problems(**changes: Any) -> list[str]:
    return list(window_problems(env.krakendata(env.Environment({})) | changes))


def ids(facts: ServerFacts, wants_timescale: bool = True) -> list[str | None]:
    return [message.id for message in (*server_problems(facts, wants_timescale), *worker_problems(facts))]


def test_the_defaults_are_consistent() -> None:
    assert problems() == []


def test_a_project_without_settings_is_consistent() -> None:
    assert list(window_problems({})) == []


def test_compression_after_retention_is_a_problem() -> None:
    assert problems(COMPRESS_TRADES_AFTER_DAYS=90)[0].startswith(
        "COMPRESS_TRADES_AFTER_DAYS=90 is never reached"
    )


def test_compression_of_what_is_kept_for_ever_is_fine() -> None:
    assert problems(RETENTION_TRADES_DAYS=0, COMPRESS_TRADES_AFTER_DAYS=9999) == []


def test_a_refresh_reaching_behind_the_candles_is_a_problem() -> None:
    found = problems(RETENTION_CANDLES_DAYS=31, REFRESH_1H_START=timedelta(days=32))
    assert len(found) == 1
    assert found[0].startswith("REFRESH_1H_START reaches behind RETENTION_CANDLES_DAYS=31")


def test_a_refresh_built_on_the_hours_may_reach_further() -> None:
    assert problems(RETENTION_CANDLES_DAYS=60, REFRESH_1D_START=timedelta(days=61)) == []


def test_a_window_shorter_than_two_buckets_is_a_problem() -> None:
    found = problems(REFRESH_1D_START=timedelta(days=2), REFRESH_1D_END=timedelta(days=1))
    assert found == ["REFRESH_1D_START must lie at least two 1d buckets before REFRESH_1D_END."]


def test_a_good_server_passes() -> None:
    assert ids(GOOD) == []


def test_an_old_postgresql_is_refused() -> None:
    assert ids(ServerFacts(14, "2.29.2", 32, 16, 512)) == ["krakendata.E003"]


def test_an_old_timescaledb_is_refused() -> None:
    assert ids(ServerFacts(16, "2.17.2", 32, 16, 512)) == ["krakendata.E002"]


def test_a_development_version_of_timescaledb_is_understood() -> None:
    assert ids(ServerFacts(18, "2.30.0-dev", 32, 16, 512)) == []


def test_a_server_without_timescaledb_cannot_serve_a_timescale_url() -> None:
    assert "krakendata.E005" in ids(ServerFacts(18, None, 8, None, 64))


def test_a_plain_server_need_not_load_timescaledb() -> None:
    assert list(server_problems(ServerFacts(18, None, 8, None, 64), wants_timescale=False)) == []


def test_few_workers_are_a_warning() -> None:
    assert ids(ServerFacts(18, "2.29.2", 8, 16, 512)) == ["krakendata.W005"]


def test_few_locks_are_a_warning() -> None:
    assert ids(ServerFacts(18, "2.29.2", 32, 16, 64)) == ["krakendata.W006"]


def test_metrics_that_nobody_may_read_are_a_warning_of_a_deployment(settings: Settings) -> None:
    settings.KRAKENDATA = {}
    assert [message.id for message in check_metrics(None)] == ["krakendata.W008"]
    of_deployments: set[Any] = registry.registry.deployment_checks
    of_all: set[Any] = registry.registry.registered_checks
    assert check_metrics in of_deployments
    assert check_metrics not in of_all


@pytest.mark.parametrize("given", [{"METRICS_TOKEN": "0123456789abcdef"}, {"METRICS_NETWORKS": ["any"]}])
def test_metrics_that_somebody_may_read_pass(settings: Settings, given: dict[str, Any]) -> None:
    settings.KRAKENDATA = given
    assert check_metrics(None) == []


def test_a_project_without_metrics_is_not_asked_who_may_read_them(settings: Settings) -> None:
    settings.KRAKENDATA = {}
    settings.MIDDLEWARE = [each for each in settings.MIDDLEWARE if each != MIDDLEWARE]
    assert check_metrics(None) == []
