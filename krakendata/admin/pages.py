"""What a page of ours is: Django's admin page with a permission, a title and tables made in Python."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

PageView = Callable[..., HttpResponse]


@dataclass(frozen=True)
class Column:
    """A column's title; figures stand to the right, and `hint` explains the title."""

    title: str
    is_figure: bool = False
    hint: str = ""


@dataclass(frozen=True)
class Table:
    """What `krakendata/admin/table.html` draws; `empty` is the sentence shown without rows."""

    columns: Sequence[Column]
    rows: Iterable[Sequence[object]]
    empty: str = "Nothing here yet."
    command: str = ""
    cells: list[list[tuple[Column, object]]] = field(init=False)

    def __post_init__(self) -> None:
        cells = [list(zip(self.columns, row, strict=True)) for row in self.rows]
        object.__setattr__(self, "cells", cells)


def page_of(model: type[Model]) -> Callable[[PageView], PageView]:
    """Let only those see the page who may view the model's rows."""
    return page_for(f"{model._meta.app_label}.view_{model._meta.model_name}")


def page_for(*permissions: str) -> Callable[[PageView], PageView]:
    """Let only those see the page who have one of the permissions."""

    def decorate(view: PageView) -> PageView:
        @wraps(view)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not any(map(request.user.has_perm, permissions)):
                raise PermissionDenied
            # unfold hands its own addresses the ModelAdmin they hang on.
            kwargs.pop("model_admin", None)
            return view(request, *args, **kwargs)

        return checked

    return decorate


def deed(*permissions: str) -> Callable[[PageView], PageView]:
    """Let only those do it who have one of the permissions, and only by POST."""

    def decorate(view: PageView) -> PageView:
        return page_for(*permissions)(require_POST(view))

    return decorate


def may_view(request: HttpRequest, model: type[Model]) -> bool:
    """Whether the visitor has the model's view permission."""
    name = f"{model._meta.app_label}.view_{model._meta.model_name}"
    return bool(request.user.has_perm(name))


def show(request: HttpRequest, template: str, title: str, **context: Any) -> TemplateResponse:
    """Answer with one of our templates inside the admin's frame."""
    frame = admin.site.each_context(request)
    return TemplateResponse(
        request, f"krakendata/admin/{template}", {**frame, "title": title, "subtitle": None, **context}
    )


def link(text: str, name: str, *args: object, **query: object) -> SafeString:
    """Link to a page of the admin by its address's name."""
    address = reverse(f"admin:{name}", args=args)
    return format_html(
        '<a class="kd-link" href="{}">{}</a>', address + (query and f"?{urlencode(query)}" or ""), text
    )
