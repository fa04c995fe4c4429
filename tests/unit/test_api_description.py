"""The API's own description, and the page to try it: nothing of either comes from elsewhere."""

from __future__ import annotations

import json
import re

import pytest
from django.test import Client

from krakendata.api.problems import PROBLEM_TYPE
from krakendata.api.routes import api

PATHS = {f"/api/v1/{name}" for name in ("candles", "trades", "coverage", "symbols", "health")}


def described() -> dict[str, dict[str, object]]:
    schema = json.loads(json.dumps(api.get_openapi_schema()))
    return {path: methods["get"] for path, methods in schema["paths"].items()}


def test_it_tells_every_question() -> None:
    assert set(described()) == PATHS


@pytest.mark.parametrize("path", sorted(PATHS))
def test_every_problem_has_the_one_shape(path: str) -> None:
    responses = described()[path]["responses"]
    assert isinstance(responses, dict)
    problems = {status: told for status, told in responses.items() if int(status) >= 400}
    assert {"400", "406", "503"} <= set(problems)
    for told in problems.values():
        assert told["content"] == {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemOut"}}}


@pytest.mark.parametrize("path", sorted(PATHS - {"/api/v1/health"}))
def test_every_question_but_that_for_health_wants_a_token(path: str) -> None:
    assert described()[path]["security"] == [{"Bearer": []}]


def test_series_are_told_in_three_forms() -> None:
    responses = described()["/api/v1/candles"]["responses"]
    assert isinstance(responses, dict)
    assert set(responses["200"]["content"]) == {
        "application/json", "text/csv", "application/vnd.apache.arrow.stream",
    }  # fmt: skip


def test_the_page_to_try_it_loads_nothing_from_elsewhere(client: Client) -> None:
    page = client.get("/api/v1/docs").content.decode()
    assert re.findall(r'(?:src|href)="((?:https?:)?//[^"]*)"', page) == []
    # Else it would ask another host whether the description is valid.
    assert '"validatorUrl": null' in page
    paths = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    assert paths
    for path in paths:
        response = client.get(path)
        assert response.status_code == 200, path
        # Read to its end, it is closed by the client, who knows that there is no database here.
        assert response.getvalue()
