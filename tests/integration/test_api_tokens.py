"""Tokens: made in the admin and shown once; what they open, how often, until when."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from datetime import timedelta

import httpx
import pytest
from channels.db import database_sync_to_async
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from krakendata.api import bearers, lookups
from krakendata.api.bearers import forget_tokens
from krakendata.api.tokens import SCOPES, digest_of, new_token
from krakendata.models import ApiToken
from tests.fix_api import make_token, make_token_async
from tests.fix_history import History

ADD, LIST = "admin:krakendata_apitoken_add", "admin:krakendata_apitoken_changelist"
FORM = {"name": "the charts", "scopes": ["read:candles"], "expires_at_0": "", "expires_at_1": ""}


@pytest.fixture
def keeper(db: None, client: Client) -> Client:
    """Give a browser of somebody who may add tokens and nothing else."""
    user = User.objects.create_user("keeper", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="add_apitoken"))
    client.force_login(user)
    return client


# --- in the admin -------------------------------------------------------------------------------------------


def test_a_token_is_shown_once_and_kept_nowhere(keeper: Client) -> None:
    page = keeper.post(reverse(ADD), FORM)
    (token,) = set(re.findall(r"kd_[\w-]{43}", page.content.decode()))
    assert "no-store" in page.headers["Cache-Control"]
    (made,) = ApiToken.objects.all()
    assert (made.digest, made.owner, made.scopes) == (digest_of(token), "keeper", ["read:candles"])
    for again in (
        keeper.get(reverse(LIST)),
        keeper.get(reverse("admin:krakendata_apitoken_change", args=[made.pk])),
    ):
        assert again.status_code == 200
        assert token not in again.content.decode()
        assert f"kd_…{token[-4:]}" in again.content.decode()
    assert token not in str([vars(each) for each in ApiToken.objects.all()])


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"name": ""}, "This field is required"),
        ({"scopes": []}, "This field is required"),
        ({"scopes": ["everything"]}, "not one of the available choices"),
        ({"expires_at_0": "2020-01-01", "expires_at_1": "00:00"}, "That is past"),
        ({"requests_per_minute": "0"}, "greater than or equal to 1"),
    ],
)
def test_a_form_that_makes_no_sense_makes_no_token(
    wrong: dict[str, object], sentence: str, keeper: Client
) -> None:
    page = keeper.post(reverse(ADD), {**FORM, **wrong})
    assert sentence in page.content.decode()
    assert not ApiToken.objects.exists()


def test_a_revoked_token_stays_in_the_list(keeper: Client) -> None:
    make_token(name="the charts")
    (made,) = ApiToken.objects.all()
    page = keeper.post(reverse(LIST), {"action": "revoke", "_selected_action": [made.pk]}, follow=True)
    assert "1 token is revoked." in page.content.decode()
    made.refresh_from_db()
    assert made.revoked_at is not None
    assert "revoked" in keeper.get(reverse(LIST)).content.decode()


def test_only_who_may_add_tokens_sees_them(db: None, client: Client) -> None:
    make_token()
    user = User.objects.create_user("reader", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_apitoken"))
    client.force_login(user)
    for page in (reverse(ADD), reverse(LIST)):
        assert client.get(page).status_code == 403
    assert "API tokens" not in client.get(reverse("admin:index")).content.decode()


def test_nobody_changes_or_deletes_a_token(keeper: Client) -> None:
    make_token()
    (made,) = ApiToken.objects.all()
    change = keeper.post(
        reverse("admin:krakendata_apitoken_change", args=[made.pk]), {**FORM, "name": "other"}
    )
    delete = keeper.post(reverse("admin:krakendata_apitoken_delete", args=[made.pk]), {"post": "yes"})
    assert (change.status_code, delete.status_code) == (403, 403)
    made.refresh_from_db()
    assert made.name == "tests"


# --- at the door --------------------------------------------------------------------------------------------


async def status(api: httpx.AsyncClient, path: str, token: str | None, **asked: str) -> int:
    headers = {"Authorization": "" if token is None else f"Bearer {token}"}
    if token is None:
        del api.headers["Authorization"]
        headers = {}
    return (await api.get(path, params=asked, headers=headers)).status_code


QUESTIONS = {
    "read:candles": ("candles", {"symbol": "BTC/USD", "interval": "1h"}),
    "read:trades": ("trades", {"symbol": "BTC/USD"}),
    "read:coverage": ("coverage", {"symbol": "BTC/USD"}),
}


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_scope_opens_its_own_question_and_no_other(
    scope: str, api: httpx.AsyncClient, history: History
) -> None:
    token = await make_token_async(scope)
    for needed, (path, asked) in QUESTIONS.items():
        assert await status(api, path, token, **asked) == (200 if needed == scope else 403)
    assert await status(api, "symbols", token) == 200


@pytest.mark.parametrize(
    "facts",
    [
        {"revoked_at": timezone.now() - timedelta(seconds=1)},
        {"expires_at": timezone.now() - timedelta(seconds=1)},
    ],
    ids=["revoked", "expired"],
)
async def test_a_token_that_is_over_opens_nothing(facts: dict[str, object], api: httpx.AsyncClient) -> None:
    assert await status(api, "symbols", await make_token_async(**facts)) == 401


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer kd_" + "x" * 43, "Basic eDp5", "Bearer é", "bearer " * 99]
)
async def test_what_is_no_token_opens_nothing(header: str, api: httpx.AsyncClient) -> None:
    response = await api.get("symbols", headers={b"Authorization": header.encode()})
    assert (response.status_code, response.json()["error"]) == (401, "unauthorized")
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


async def test_strangers_are_looked_up_a_few_at_a_time(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking, most = 0, 0
    counting = threading.Lock()

    def look_up(_: str) -> None:
        nonlocal looking, most
        with counting:
            looking += 1
            most = max(most, looking)
        time.sleep(0.05)
        with counting:
            looking -= 1

    monkeypatch.setattr(bearers, "_read_token", look_up)
    strangers = [{"Authorization": f"Bearer {new_token()}"} for _ in range(12)]
    answers = await asyncio.gather(*(api.get("symbols", headers=each) for each in strangers))
    assert {each.status_code for each in answers} == {401}
    assert most == lookups.AT_ONCE


async def test_a_token_revoked_while_in_use_opens_nothing_soon(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bearers, "BELIEVED_SECONDS", 0.0)
    assert (await api.get("symbols")).status_code == 200
    await database_sync_to_async(ApiToken.objects.update)(revoked_at=timezone.now())
    assert (await api.get("symbols")).status_code == 401


async def test_the_last_use_is_written_but_not_by_each_request(api: httpx.AsyncClient) -> None:
    async def last_use() -> object:
        forget_tokens()
        assert (await api.get("symbols")).status_code == 200
        made = await database_sync_to_async(ApiToken.objects.get)()
        return made.last_used_at

    first = await last_use()
    assert first is not None
    assert await last_use() == first
    earlier = timezone.now() - timedelta(hours=1)
    await database_sync_to_async(ApiToken.objects.update)(last_used_at=earlier)
    assert await last_use() != earlier


async def test_who_asks_too_often_is_told_for_how_long_to_wait(api: httpx.AsyncClient) -> None:
    token = await make_token_async(requests_per_minute=3)
    headers = {"Authorization": f"Bearer {token}"}
    found = [await api.get("symbols", headers=headers) for _ in range(4)]
    assert [each.status_code for each in found] == [200, 200, 200, 429]
    assert [each.headers["RateLimit-Remaining"] for each in found[:3]] == ["2", "1", "0"]
    assert 1 <= int(found[3].headers["Retry-After"]) <= 20
    assert found[3].json()["error"] == "rate_limited"
    # Others are not concerned.
    assert (await api.get("symbols")).status_code == 200


# --- by session ---------------------------------------------------------------------------------------------


def session(name: str, *permissions: str, is_staff: bool = True) -> str:
    user = User.objects.create_user(name, is_staff=is_staff)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value


async def test_staff_reads_what_it_may_view_in_the_admin(api: httpx.AsyncClient, history: History) -> None:
    del api.headers["Authorization"]
    key = await database_sync_to_async(session)("viewer", "view_candle")
    cookie = {"Cookie": f"sessionid={key}"}
    found = {
        path: (await api.get(path, params=asked, headers=cookie)).status_code
        for path, asked in QUESTIONS.values()
    }
    assert found == {"candles": 200, "trades": 403, "coverage": 403}


async def test_a_login_that_is_not_staffs_opens_nothing(api: httpx.AsyncClient) -> None:
    del api.headers["Authorization"]
    key = await database_sync_to_async(session)("customer", "view_candle", is_staff=False)
    assert (await api.get("symbols", headers={"Cookie": f"sessionid={key}"})).status_code == 401


@pytest.mark.django_db
def test_the_tokens_need_no_further_migration() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)
