"""docker-compose.yml, as far as it can be judged without an engine."""

import re
import subprocess
import sys
from typing import Any

import pytest
import yaml
from django.conf import settings

from config import env
from krakendata.metrics.middleware import VIEWS
from krakendata.tasks.running import GRACE_SECONDS

TEXT = (env.ROOT / "docker-compose.yml").read_text(encoding="utf-8")


@pytest.fixture
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(TEXT)
    return loaded


def test_it_has_the_services_of_the_house(compose: dict[str, Any]) -> None:
    assert {"database", "redis", "migrate", "web", "worker", "long_worker", "beat", "feed"} <= set(
        compose["services"]
    )


def test_every_secret_comes_from_a_file_of_the_operators(compose: dict[str, Any]) -> None:
    assert all(set(secret) == {"file"} for secret in compose["secrets"].values())


def test_no_variable_holds_a_secret(compose: dict[str, Any]) -> None:
    variables = [name for service in compose["services"].values() for name in service.get("environment", {})]
    assert [
        name for name in variables if re.search("PASSWORD|SECRET|KEY", name) and not name.endswith("_FILE")
    ] == []


def test_no_address_holds_a_password() -> None:
    assert re.findall(r"://[^/\s]*:[^/\s]*@", TEXT) == []


def test_every_secret_used_is_declared(compose: dict[str, Any]) -> None:
    used = {name for service in compose["services"].values() for name in service.get("secrets", [])}
    assert used == set(compose["secrets"])


def test_every_volume_used_is_declared(compose: dict[str, Any]) -> None:
    used = {
        volume.partition(":")[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", [])
        if isinstance(volume, str)
    }
    assert used == set(compose["volumes"])


def test_what_is_waited_for_can_be_waited_for(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for service in services.values():
        for name, wait in service.get("depends_on", {}).items():
            assert wait["condition"] != "service_healthy" or "healthcheck" in services[name]


def test_only_the_web_server_is_reached_from_outside_and_from_this_machine_alone(
    compose: dict[str, Any],
) -> None:
    ports = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert ports == {"web": ["${WEB_ADDRESS:-127.0.0.1:8000}:8000"]}


def test_the_web_servers_variables_are_all_it_needs(compose: dict[str, Any], tmp_path: Any) -> None:
    (tmp_path / "secret").write_text("of the operator", encoding="utf-8")
    variables = {
        name: str(tmp_path / "secret") if name.endswith("_FILE") else value
        for name, value in compose["services"]["web"]["environment"].items()
    }
    environment = env.Environment(variables)
    assert env.database(environment)["ENGINE"] == "krakendata.db.timescale"
    assert env.secret_key(environment) == "of the operator"
    assert env.redis_url(environment) == "redis://redis:6379/0"


@pytest.mark.parametrize("name", ["web", "worker", "long_worker", "beat", "feed"])
def test_whoever_uses_the_database_waits_for_its_tables(compose: dict[str, Any], name: str) -> None:
    waits = compose["services"][name]["depends_on"]
    assert {service: wait["condition"] for service, wait in waits.items()} == {
        "database": "service_healthy",
        "redis": "service_healthy",
        "migrate": "service_completed_successfully",
    }


@pytest.mark.parametrize(
    ("name", "kind"), [("worker", "worker"), ("long_worker", "worker"), ("beat", "beat")]
)
def test_the_commands_are_celerys_with_the_projects_app(
    compose: dict[str, Any], name: str, kind: str
) -> None:
    python, *words = compose["services"][name]["command"]
    assert python == "python"
    done = subprocess.run(
        [sys.executable, *words, "--help"], cwd=env.ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"celery {kind}" in done.stdout or f"{kind} [OPTIONS]" in done.stdout


def test_every_queue_has_workers_of_its_own(compose: dict[str, Any]) -> None:
    commands = [compose["services"][name]["command"] for name in ("worker", "long_worker")]
    served = [command[command.index("-Q") + 1] for command in commands]
    assert served == [queue.name for queue in settings.CELERY_TASK_QUEUES]


def test_the_workers_watch_a_folder_they_cannot_change(compose: dict[str, Any]) -> None:
    worker = compose["services"]["long_worker"]
    (folder,) = [volume for volume in worker["volumes"] if not isinstance(volume, str)]
    assert (folder["type"], folder["read_only"]) == ("bind", True)
    assert folder["target"] == worker["environment"]["WATCH_FOLDER"]
    rest = {name: value for name, value in worker["environment"].items() if name != "WATCH_FOLDER"}
    assert rest == compose["services"]["web"]["environment"]


@pytest.mark.parametrize("name", ["web", "worker", "long_worker"])
def test_uploads_are_in_one_folder_for_the_web_server_and_every_worker(
    compose: dict[str, Any], name: str
) -> None:
    service = compose["services"][name]
    assert f"uploads:{service['environment']['UPLOAD_DIR']}" in service["volumes"]


@pytest.mark.parametrize("name", ["worker", "long_worker"])
def test_a_worker_has_time_to_stop_in_good_order(compose: dict[str, Any], name: str) -> None:
    minutes = int(compose["services"][name]["stop_grace_period"].removesuffix("m"))
    assert minutes * 60 > GRACE_SECONDS


def test_there_is_one_beat(compose: dict[str, Any]) -> None:
    assert compose["services"]["beat"]["deploy"]["replicas"] == 1


def test_the_defaults_are_those_of_the_settings(compose: dict[str, Any]) -> None:
    given = compose["services"]["worker"]["environment"]
    names = (
        "KRAKEN_CALLS_PER_SECOND",
        "KRAKEN_CALLS_PER_SECOND_PER_PAIR",
        "KRAKEN_REST_URL",
        "KRAKEN_WEBSOCKET_URL",
    )
    defaults = {name: given[name].removeprefix(f"${{{name}:-").removesuffix("}") for name in names}
    assert env.krakendata(env.Environment(defaults)) == env.krakendata(env.Environment({}))


def test_the_database_has_room_for_the_policies(compose: dict[str, Any]) -> None:
    command = compose["services"]["database"]["command"]
    assert "max_worker_processes=32" in command
    assert "timescaledb.max_background_workers=16" in command


def test_the_web_server_is_healthy_when_it_is_ready(compose: dict[str, Any]) -> None:
    form, python, option, program = compose["services"]["web"]["healthcheck"]["test"]
    assert (form, python, option) == ("CMD", "python", "-c")
    compile(program, "healthcheck", "exec")
    assert "http://127.0.0.1:8000/health/ready" in program
    assert "/health/ready" in VIEWS
