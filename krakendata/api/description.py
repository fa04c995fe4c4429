"""The API's description of itself, OpenAPI 3.1, and the page to try it."""

from __future__ import annotations

from typing import Any

from ninja import NinjaAPI, Swagger

from krakendata.api.formats import Format
from krakendata.api.problems import PROBLEM_TYPE, say_problems
from krakendata.api.schemas import ProblemOut

TITLE = "krakendata"
ABOUT = (
    "Candles and trades of Kraken's markets, and how complete they are. Prices, volumes and sums are decimal text, "
    "exact to the last digit; times are UTC; ranges are half open: start belongs to them, end does not."
)
# Those that every question may get; the rest stands with each.
PROBLEMS = {
    400: "The request is malformed",
    401: "Nobody who may ask",
    403: "The scope is missing",
    406: "Not given in a form that is accepted",
    422: "A parameter has a value that cannot be met",
    429: "Too many requests a minute",
    503: "The database is away",
}


PROBLEM_HEADERS = {
    "Retry-After": ((429, 503), "In how many seconds to ask again."),
    "WWW-Authenticate": ((401,), "That a bearer's token is wanted."),
}


class DescribedAPI(NinjaAPI):
    """Ninja's API, whose description tells problems under their media type; it is made once."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._described: dict[str, Any] = {}

    def get_openapi_schema(self, **kwargs: Any) -> Any:
        """The description; problems are application/problem+json, and say for how long to wait where they do."""
        key = str(sorted(kwargs.items()))
        if key in self._described:
            return self._described[key]
        schema = super().get_openapi_schema(**kwargs)
        for methods in schema["paths"].values():
            for operation in methods.values():
                for status, told in operation["responses"].items():
                    if int(status) >= 400:
                        told["content"] = {PROBLEM_TYPE: told["content"].pop("application/json")}
                        told["description"] = PROBLEMS.get(int(status), told["description"])
                        told["headers"] = {
                            name: _header(text)
                            for name, (statuses, text) in PROBLEM_HEADERS.items()
                            if int(status) in statuses
                        }
        self._described[key] = schema
        return schema


def make_api() -> DescribedAPI:
    """An API without questions yet, which says every problem in one shape."""
    # Without these two the page would ask another host whether the description is valid, and keep tokens in the
    # browser.
    docs = Swagger(settings={"validatorUrl": None, "persistAuthorization": False})
    api = DescribedAPI(
        title=TITLE, version="1", description=ABOUT, docs=docs, urls_namespace="krakendata-api"
    )
    say_problems(api)
    return api


def answers(model: Any, *statuses: int) -> dict[int, Any]:
    """What an operation answers: the model, or a problem with one of the statuses."""
    return {200: model, **dict.fromkeys(statuses, ProblemOut)}


def in_every_form(model: str) -> dict[str, Any]:
    """What the description adds for a series: its other forms, and the headers that go with them."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {
        "responses": {
            200: {
                "content": {Format.CSV.value: {"schema": {"type": "string"}}, Format.ARROW.value: binary},
                "headers": {
                    "Link": _header('Where the next page is: <…>; rel="next". Not there on the last page.'),
                    "ETag": _header(
                        "There where the answer is final; retention, a late record and an audit end it."
                    ),
                    "Krakendata-Coverage": _header(
                        "proven, provisional or holes, as coverage.state says in JSON."
                    ),
                },
            },
            304: {"description": f"You have these {model} already: If-None-Match named their ETag"},
        }
    }


def _header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}
