"""docker-compose.yml, as far as it can be judged without an engine."""

import re
from typing import Any

import pytest
import yaml

from config import env

TEXT = (env.ROOT / "docker-compose.yml").read_text(encoding="utf-8")


@pytest.fixture
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(TEXT)
    return loaded


def test_it_has_the_services_of_the_house(compose: dict[str, Any]) -> None:
    assert {"database", "redis", "migrate", "web"} <= set(compose["services"])


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


def test_the_database_has_room_for_the_policies(compose: dict[str, Any]) -> None:
    command = compose["services"]["database"]["command"]
    assert "max_worker_processes=32" in command
    assert "timescaledb.max_background_workers=16" in command
