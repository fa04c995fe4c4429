"""Every request of the staff to change something in the admin, written down before it begins and after it ended.

It stands where they all come by, so that no page can forget it. A page may say more of what it does by
`describe_action`; what it does not say is the address's name, the action chosen in a list, and the rows it is about.
A page that does nothing and leads on to the next one says so by `refuse_action`: its status alone would read as done.
Of a form nothing else is read: neither passwords nor tokens get here.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from html import unescape
from inspect import iscoroutinefunction
from typing import Any
from urllib.parse import urlsplit

from asgiref.sync import sync_to_async
from django.contrib import messages
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import Resolver404, resolve
from django.utils.decorators import sync_and_async_middleware
from django.utils.html import strip_tags

from krakendata.api.tokens import PREFIX
from krakendata.models import OperatorAction
from krakendata.security.away import away_page, is_away

logger = logging.getLogger(__name__)

READING = ("GET", "HEAD", "OPTIONS", "TRACE")
# How the address of a model's list ends.
LIST = "_changelist"
# They change nothing that others see, and one of them asks for a password.
NOT_ACTIONS = frozenset({"login", "logout"})
# It shows what would be deleted, and is asked again with "post" once that was read.
ASKED_FIRST = "delete_selected"
# As many rows as anybody reads; of more, how many there were.
TARGETS_NAMED = 20
TEXT_CHARACTERS = 500
NAME_CHARACTERS = 100
TOKEN = re.compile(re.escape(PREFIX) + r"[\w-]{8,}")

Get = Callable[[HttpRequest], Any]


def describe_action(request: HttpRequest, target: str, action: str | None = None) -> None:
    """Say in the log what the request is about, in a reader's words, and what it does where the address does not."""
    noted = getattr(request, "operator_action", None)
    if noted is None:
        return
    noted.target = hidden(target)[:TEXT_CHARACTERS]
    noted.action = action or noted.action


def refuse_action(request: HttpRequest, why: str) -> None:
    """Tell the operator on the next page why nothing was done, and have the log say that it was refused."""
    messages.error(request, why)
    noted = getattr(request, "operator_action", None)
    if noted is not None:
        noted.result = OperatorAction.Result.REFUSED


def not_an_action(view: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a view whose POSTs are parts of an action that another one tells: the pieces of an upload, a preview."""
    view.is_not_an_action = True  # type: ignore[attr-defined]
    return view


@sync_and_async_middleware
def operator_log_middleware(get_response: Get) -> Get | Callable[[HttpRequest], Awaitable[Any]]:
    """The middleware; it stands behind those of accounts and of messages."""
    if iscoroutinefunction(get_response):

        async def answer_async(request: HttpRequest) -> HttpResponseBase:
            noted = await sync_to_async(begin_or_refuse)(request)
            if isinstance(noted, HttpResponseBase):
                return noted
            response: HttpResponseBase = await get_response(request)
            if noted is not None:
                await sync_to_async(end)(request, noted, response)
            return response

        return answer_async

    def answer(request: HttpRequest) -> HttpResponseBase:
        noted = begin_or_refuse(request)
        if isinstance(noted, HttpResponseBase):
            return noted
        response: HttpResponseBase = get_response(request)
        if noted is not None:
            end(request, noted, response)
        return response

    return answer


def begin_or_refuse(request: HttpRequest) -> OperatorAction | HttpResponseBase | None:
    """As `begin`; what cannot be written down, as the database is away, is not done."""
    if request.method in READING:
        return None
    try:
        return begin(request)
    except (OperationalError, InterfaceError) as error:
        if not is_away(error):
            raise
        return away_page(request, error)


def begin(request: HttpRequest) -> OperatorAction | None:
    """Write down that it begins; None where it is no action of the staff in the admin."""
    try:
        match = resolve(request.path_info)
    except Resolver404:
        return None
    name = match.url_name
    if "admin" not in match.app_names or name is None or name in NOT_ACTIONS:
        return None
    if getattr(match.func, "is_not_an_action", False) or not request.user.is_staff:
        return None
    is_list = name.endswith(LIST)
    chosen = _chosen(request) if is_list else ""
    if chosen == ASKED_FIRST and "post" not in request.POST:
        return None
    arguments: dict[str, Any] = match.captured_kwargs or {}  # type: ignore[attr-defined]  # the stubs lack it
    noted = OperatorAction(
        who=request.user.get_username(),
        action=chosen or name,
        target=_ticked(request) if is_list else _named(arguments),
        page=_page(request),
    )
    noted.save()
    # The admin leaves such an action out and shows the list again, which is no failure by its status.
    is_offered = not chosen or _is_offered(request, match.func, chosen)
    request.is_offered = is_offered  # type: ignore[attr-defined]
    request.operator_action = noted  # type: ignore[attr-defined]
    return noted


def end(request: HttpRequest, noted: OperatorAction, response: HttpResponseBase) -> None:
    """Write down what became of it."""
    noted.status = response.status_code
    is_wrong = bool((getattr(response, "context_data", None) or {}).get("errors"))
    is_refused = is_wrong or noted.result == OperatorAction.Result.REFUSED
    is_taken = request.is_offered and not is_refused  # type: ignore[attr-defined]
    noted.result = result_of(response.status_code) if is_taken else OperatorAction.Result.REFUSED
    noted.said = hidden(" ".join(_said(request)))[:TEXT_CHARACTERS]
    try:
        noted.save(update_fields=["action", "target", "result", "status", "said"])
    except (OperationalError, InterfaceError) as error:
        # The answer says what happened; in the log it stays an action that was cut off.
        logger.warning("action not written to its end id=%s error=%s", noted.pk, error)


def result_of(status: int) -> str:
    """Read an answer's status: 4xx refused it, 5xx failed at it."""
    if status >= 500:
        return OperatorAction.Result.FAILED
    return OperatorAction.Result.REFUSED if status >= 400 else OperatorAction.Result.DONE


def hidden(text: str) -> str:
    """Give the text without what looks like one of our tokens, and without what the database does not take."""
    return TOKEN.sub(f"{PREFIX}…", text.replace("\0", ""))


def _chosen(request: HttpRequest) -> str:
    """The action chosen in a list. What stands in a form is anybody's; the names of actions are Python's."""
    chosen = request.POST.get("action", "")
    return chosen if chosen.isidentifier() and len(chosen) < NAME_CHARACTERS else ""


def _is_offered(request: HttpRequest, view: Any, chosen: str) -> bool:
    """Whether the list offers the action to the visitor."""
    page = getattr(view, "model_admin", None)
    return page is not None and chosen in page.get_actions(request)


def _ticked(request: HttpRequest) -> str:
    """The rows ticked in a list."""
    if request.POST.get("select_across") == "1":
        return "all that the filters show"
    ticked = request.POST.getlist("_selected_action")
    more = f" and {len(ticked) - TARGETS_NAMED} more" if len(ticked) > TARGETS_NAMED else ""
    return hidden(", ".join(ticked[:TARGETS_NAMED]) + more)[:TEXT_CHARACTERS]


def _named(arguments: dict[str, Any]) -> str:
    """The rows that the address names. Other forms are not read: the body of an upload is its page's."""
    return hidden(", ".join(str(value) for value in arguments.values()))[:TEXT_CHARACTERS]


def _page(request: HttpRequest) -> str:
    """The page it was asked from: the one that the browser names, if it is ours, or the address itself."""
    came_from = urlsplit(request.headers.get("Referer", ""))
    is_ours = came_from.netloc == request.get_host()
    return hidden(came_from.path if is_ours else request.path)[:TEXT_CHARACTERS]


def _said(request: HttpRequest) -> list[str]:
    """What the next page tells the operator. Looking at it through its own door would take it from that page."""
    waiting = getattr(getattr(request, "_messages", None), "_queued_messages", [])
    return [_plain(message.message) for message in waiting]


def _plain(message: object) -> str:
    """A sentence as it is read: one that was made as HTML has a link in it."""
    text = str(message)
    return unescape(strip_tags(text)) if hasattr(message, "__html__") else text
