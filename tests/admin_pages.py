"""Every page of the admin, found in its own register of addresses: a new one comes in by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote as percent
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db.models import Model
from django.urls import NoReverseMatch, get_resolver, reverse

# No pages: what ends the session, scripts, what forms ask for, where Django leads to elsewhere, what asks the exchange.
NO_PAGES = frozenset({"logout", "jsi18n", "autocomplete", "view_on_site", "krakendata_onboard_cost"})
# What stands for a parameter that is no row's key.
EXAMPLES: dict[str, object] = {"app_label": "krakendata", "interval": "1h"}
KEYS = ("object_id", "pk", "id")
# What has to be asked for: the pages of a pair get its symbol too, and the others nothing.
DAY = {"start": "2024-01-01", "end": "2024-01-02"}
QUERIES: dict[str, dict[str, str]] = {
    "krakendata_map_preview": DAY,
    "krakendata_map_cells": DAY,
    "krakendata_pair_candles": {"interval": "1h"},
    "krakendata_pair_certificate": {},
    "krakendata_onboard_progress": {},
    "krakendata_reject_decide": {"reason": "bad_side"},
}
# What is searched for in lists that can be searched.
SEARCHED = "P1"


@dataclass(frozen=True)
class AdminPage:
    """An address that a browser may open, and what the register calls it."""

    name: str
    path: str


@dataclass(frozen=True)
class AdminPages:
    """The pages, and the names of those for whose parameters nothing is there or known."""

    pages: tuple[AdminPage, ...]
    left_out: tuple[str, ...]


def find_admin_pages(symbol: str = "BTC/USD", *, with_searches: bool = False) -> AdminPages:
    """Look them up; those of one row are those of the newest there is. `symbol` is a pair that has data.

    With `with_searches` the lists that can be searched come once more, searched.
    """
    pages, left_out = [], []
    for name, parameters in sorted(_register()):
        if name in NO_PAGES:
            continue
        known = {each: _value(each, name, symbol) for each in parameters}
        if None in known.values():
            left_out.append(name)
            continue
        try:
            pages.append(AdminPage(name, reverse(f"admin:{name}", kwargs=known) + _query(name, symbol)))
        except NoReverseMatch:
            left_out.append(name)
    if with_searches:
        pages += _searches(pages)
    return AdminPages(tuple(pages), tuple(left_out))


def _query(name: str, symbol: str) -> str:
    """What stands behind the address, with its question mark; nothing where it needs nothing."""
    return f"?{urlencode({'symbol': symbol, **QUERIES[name]})}" if name in QUERIES else ""


def _register() -> Iterator[tuple[str, tuple[str, ...]]]:
    """The names of the admin's addresses, and the parameters of each."""
    _, resolver = get_resolver().namespace_dict["admin"]
    for name in resolver.reverse_dict:
        if isinstance(name, str):
            (((_, parameters), *_), *_) = resolver.reverse_dict.getlist(name)[0]
            yield name, tuple(parameters)


def _value(parameter: str, name: str, symbol: str) -> Any:
    """What to put in a parameter's place; None where nothing is known."""
    if parameter in EXAMPLES:
        return EXAMPLES[parameter]
    if parameter in ("symbol", "pair"):
        return symbol
    if parameter not in KEYS:
        return None
    model = _model_of(name)
    newest = model._default_manager.order_by("-pk").first() if model else None
    return None if newest is None else quote(newest.pk)


def _model_of(name: str) -> type[Model] | None:
    """The model on whose admin a page hangs, by the name: app_model_change, or app_model_s own, as runs' does."""
    words = {f"{model._meta.app_label}_{model._meta.model_name}": model for model in admin.site._registry}
    found = next((model for word, model in words.items() if name.startswith(f"{word}_")), None)
    if found is None:
        # `krakendata_run_now` hangs on the runs, SyncRun.
        noun = re.sub(r"^[a-z]+_", "", name).partition("_")[0]
        found = next((model for word, model in words.items() if word.endswith(noun)), None)
    return found


def _searches(pages: list[AdminPage]) -> list[AdminPage]:
    paths = {page.name: page.path for page in pages}
    lists = (
        f"{model._meta.app_label}_{model._meta.model_name}_changelist"
        for model, its_admin in admin.site._registry.items()
        if its_admin.search_fields
    )
    return [
        AdminPage(f"{name}, searched", f"{paths[name]}?q={percent(SEARCHED)}")
        for name in sorted(lists)
        if name in paths
    ]
