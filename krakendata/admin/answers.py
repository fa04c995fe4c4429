"""What a page's script is answered: JSON, and where it cannot be a sentence that says why."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.db import InterfaceError, OperationalError
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse, JsonResponse

from krakendata.errors import StorageError

AWAY = "The database does not answer. The page tries again."


class Refusal(Exception):
    """A question that has no answer; the sentence says what to do about it."""

    def __init__(self, sentence: str, status: int = 400) -> None:
        self.status = status
        super().__init__(sentence)


def answers_json(view: Callable[..., dict[str, Any]]) -> Callable[..., HttpResponse]:
    """Make a view of a function that gives an object, or raises Refusal."""

    @wraps(view)
    def answered(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            answer = JsonResponse(view(request, *args, **kwargs))
        except Refusal as refusal:
            answer = JsonResponse({"error": str(refusal)}, status=refusal.status)
        except (StorageError, OperationalError, InterfaceError):
            answer = JsonResponse({"error": AWAY}, status=503)
        answer["Cache-Control"] = "no-store"
        return answer

    return answered


def checked(form: BaseForm) -> dict[str, Any]:
    """What a form was given; Refusal with the first thing that is wrong with it."""
    if not form.is_valid():
        field, errors = next(iter(form.errors.items()))
        raise Refusal(f"{field}: {errors[0]}" if field != "__all__" else str(errors[0]))
    return form.cleaned_data
