"""Who may listen: by a login or a token; when it ends, the client is turned away within minutes."""

from __future__ import annotations

from importlib import import_module

import pytest
from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from config.asgi import application
from krakendata import consumers
from krakendata.api import bearers
from krakendata.models import ApiToken, Pair
from tests.fix_api import make_token_async

pytestmark = pytest.mark.django_db(transaction=True)


def log_in(name: str) -> str:
    client = Client()
    client.force_login(User.objects.create_superuser(name))
    return client.cookies["sessionid"].value


async def shown(token: str) -> WebsocketCommunicator:
    headers = [(b"authorization", f"Bearer {token}".encode()), (b"host", b"localhost")]
    communicator = WebsocketCommunicator(application, "/live/", headers)
    assert (await communicator.connect())[0]
    return communicator


async def connected(name: str) -> tuple[WebsocketCommunicator, str]:
    key = await database_sync_to_async(log_in)(name)
    headers = [(b"cookie", f"sessionid={key}".encode()), (b"host", b"localhost")]
    communicator = WebsocketCommunicator(application, "/live/", headers)
    assert (await communicator.connect())[0]
    await communicator.send_to('{"method":"ping"}')
    assert "pong" in await communicator.receive_from(timeout=5)
    return communicator, key


async def test_who_logs_out_is_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "RECHECK_SECONDS", 0.2)
    communicator, key = await connected("leaver")
    store = import_module(settings.SESSION_ENGINE).SessionStore(key)
    assert await communicator.receive_nothing(timeout=0.5)
    await database_sync_to_async(store.flush)()
    assert "login has ended" in await communicator.receive_from(timeout=5)
    assert (await communicator.receive_output(timeout=5))["code"] == consumers.NOT_LOGGED_IN
    await communicator.disconnect()


async def test_who_is_staff_no_more_is_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "RECHECK_SECONDS", 0.2)
    communicator, _ = await connected("dismissed")
    await User.objects.filter(username="dismissed").aupdate(is_staff=False)
    assert "login has ended" in await communicator.receive_from(timeout=5)
    await communicator.disconnect()


async def test_a_token_for_listening_opens_both_channels() -> None:
    communicator = await shown(await make_token_async("live"))
    for channel in ("candles", "trades"):
        asked = {"method": "subscribe", "params": {"channel": channel, "symbol": ["NOPE"]}}
        await communicator.send_json_to(asked)
        assert "Unknown symbol" in (await communicator.receive_json_from(timeout=10))["error"]
    await communicator.disconnect()


@pytest.mark.parametrize(
    ("scopes", "facts", "code"),
    [
        (["read:candles", "read:trades"], {}, consumers.NOT_ALLOWED),
        (["live"], {"revoked_at": timezone.now()}, consumers.NOT_LOGGED_IN),
        (["live"], {"expires_at": timezone.now()}, consumers.NOT_LOGGED_IN),
    ],
    ids=["another scope", "revoked", "expired"],
)
async def test_another_token_opens_nothing(scopes: list[str], facts: dict[str, object], code: int) -> None:
    communicator = await shown(await make_token_async(*scopes, **facts))
    assert "token" in await communicator.receive_from(timeout=5)
    assert (await communicator.receive_output(timeout=5))["code"] == code
    await communicator.disconnect()


async def test_a_token_that_is_revoked_is_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "RECHECK_SECONDS", 0.2)
    monkeypatch.setattr(bearers, "BELIEVED_SECONDS", 0.0)
    communicator = await shown(await make_token_async("live"))
    assert await communicator.receive_nothing(timeout=0.5)
    await database_sync_to_async(ApiToken.objects.update)(revoked_at=timezone.now())
    assert "login has ended" in await communicator.receive_from(timeout=5)
    assert (await communicator.receive_output(timeout=5))["code"] == consumers.NOT_LOGGED_IN
    await communicator.disconnect()


async def test_who_may_view_it_no_more_is_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "RECHECK_SECONDS", 0.2)
    communicator, _ = await connected("clerk")
    clerk = await User.objects.aget(username="clerk")
    await clerk.user_permissions.aset([await Permission.objects.aget(codename="view_trade")])
    await Pair.objects.acreate(
        symbol="BTC/USD", key="XXBTZUSD", altname="XBTUSD", wsname="XBT/USD", base="BTC", quote="USD",
        status="online", price_decimals=1, volume_decimals=8,
    )  # fmt: skip
    await communicator.send_to('{"method":"subscribe","params":{"channel":"trades","symbol":["BTC/USD"]}}')
    assert '"success":true' in await communicator.receive_from(timeout=5)
    assert '"snapshot"' in await communicator.receive_from(timeout=5)
    # Without its rank it has the one permission, which is enough; then not even that.
    await User.objects.filter(username="clerk").aupdate(is_superuser=False)
    assert await communicator.receive_nothing(timeout=0.5)
    await clerk.user_permissions.aclear()
    assert "may not view" in await communicator.receive_from(timeout=5)
    assert (await communicator.receive_output(timeout=5))["code"] == consumers.NOT_ALLOWED
    await communicator.disconnect()
