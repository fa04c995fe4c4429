"""The Channels consumers: the feed's, which writes what it hears, and the live socket's."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import UTC, datetime
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any, cast

from channels.consumer import AsyncConsumer
from channels.db import database_sync_to_async
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user
from django.db import Error
from django.http import HttpRequest

from krakendata.api.bearers import bearer_of, find_token
from krakendata.api.tokens import LIVE
from krakendata.errors import StorageError
from krakendata.ingest.writer import DatabaseWriter
from krakendata.live.announcer import Announcer
from krakendata.live.desk import DeskBoard, desk_board
from krakendata.live.hub import hub
from krakendata.live.outbox import Outbox
from krakendata.live.replies import pong, refused, slow, subscribed, turned_away
from krakendata.live.requests import (
    DESK,
    DESK_TOPIC,
    MAX_CLOSEST_LOOKED_FOR,
    MAX_SUBSCRIPTIONS,
    BadRequest,
    Request,
    Topic,
    decoded,
    request_id_of,
    request_of,
)

logger = logging.getLogger(__name__)

# Codes from 4000 on are an application's own.
NOT_LOGGED_IN, NOT_ALLOWED, TOO_SLOW = 4401, 4403, 4008
# WebSocket's own word for it.
TRY_LATER = 1013
# How long a client that is let go has to take its last message.
CUT_SECONDS = 5.0
# How long a client may listen on after its user was logged out or dismissed.
RECHECK_SECONDS = 300.0
MODELS = {"candles": "candle", "trades": "trade"}


class TradeConsumer(AsyncConsumer):
    """Writes the trades and candles of its messages through the DatabaseWriter that it owns, until `feed.ended`.

    It is hosted in the feed's own process, behind a bounded queue: a worker of the channel layer would have no way to
    slow the socket, and loses what it holds when it is asked to end (docs/explanation/live.md).
    """

    # No layer of that name: messages come from the queue alone.
    channel_layer_alias = "none"

    def __init__(self, writer: DatabaseWriter, announcer: Announcer | None = None) -> None:
        self.writer = writer
        self._announcer = announcer

    async def trades_heard(self, message: dict[str, Any]) -> None:
        """Take elements of trade messages."""
        trades = await self.writer.write_trades(message["elements"])
        if self._announcer is not None:
            self._announcer.announce_trades(trades)

    async def candles_heard(self, message: dict[str, Any]) -> None:
        """Take elements of ohlc messages."""
        candles = await self.writer.write_candles(message["elements"])
        if self._announcer is not None:
            self._announcer.announce_candles(candles)

    async def feed_ended(self, message: dict[str, Any]) -> None:
        """Write what waits, and end."""
        await self.writer.close()
        raise StopConsumer


class LiveConsumer(AsyncWebsocketConsumer):
    """One client of the live socket: its requests, its outbox, and who it is.

    Everything it is told goes through the outbox, in order, by one task. Its docs are docs/reference/live-socket.md.
    """

    # The hub listens for all; a channel for each client would only be one more thing to lose.
    channel_layer_alias = "none"

    # Its client's, until that has left.
    _outbox: Outbox | None = None
    # Once it follows the desk.
    _board: DeskBoard | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve the client; whatever ends this, a defect too, the client is forgotten."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._leave()

    async def connect(self) -> None:
        self._topics: set[Topic] = set()
        await self.accept()
        self._token = shown_token(self.scope)
        if await (self._admit_user() if self._token is None else self._admit_token(self._token)):
            self._outbox = Outbox()
            self._tasks = [
                asyncio.create_task(self._send_all(self._outbox)),
                asyncio.create_task(self._look_at_login()),
            ]
            await hub().join(self._outbox)

    async def _admit_user(self) -> bool:
        """Let in staff of the admin, to what they may view there."""
        user = self.scope["user"]
        if not user.is_authenticated:
            sentence = "Log in to the admin first and send its session cookie, or show a token."
            await self._turn_away(NOT_LOGGED_IN, sentence)
        elif not user.is_staff:
            await self._turn_away(NOT_ALLOWED, "Only staff may listen; ask an administrator.")
        else:
            self._allowed = await database_sync_to_async(allowed_channels)(user)
            return True
        return False

    async def _admit_token(self, token: str) -> bool:
        """Let in who shows a token of the HTTP API with the scope "live", to every channel."""
        try:
            caller = await find_token(token)
        except Error:
            await self._turn_away(TRY_LATER, "The database is not available. Try again in a moment.")
            return False
        if caller is None:
            await self._turn_away(NOT_LOGGED_IN, "The token is unknown, expired or revoked.")
        elif LIVE not in caller.scopes:
            await self._turn_away(NOT_ALLOWED, f"Listening needs a token with the scope {LIVE}.")
        else:
            self._allowed = set(MODELS)
            return True
        return False

    async def disconnect(self, code: int) -> None:
        await self._leave()

    async def _leave(self) -> None:
        if self._outbox is not None:
            outbox, self._outbox = self._outbox, None
            for task in self._tasks:
                task.cancel()
            self._leave_desk(outbox)
            await hub().leave(outbox)
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self._outbox is None:
            return
        asked: object = None
        try:
            asked = decoded(
                text_data if text_data is not None else (bytes_data or b"").decode(errors="replace")
            )
            await self._answer(request_of(asked), self._outbox)
        except BadRequest as error:
            method = asked.get("method") if isinstance(asked, dict) else None
            self._outbox.put(refused(method, error, request_id_of(asked)))

    async def _answer(self, request: Request, outbox: Outbox) -> None:
        if request.method == "ping":
            outbox.put(pong(request, datetime.now(UTC)))
            return
        if request.channel not in self._allowed:
            raise BadRequest(
                f"You may not view {request.channel}; an administrator can give you that permission."
            )
        if request.channel == DESK:
            await self._answer_desk(request, outbox)
            return
        unknown = 0
        for name in request.names:
            # A request has thousands of names: others have their turn between.
            await asyncio.sleep(0)
            try:
                topic = await hub().topic(request, name, find_closest=unknown < MAX_CLOSEST_LOOKED_FOR)
            except BadRequest as error:
                unknown += 1
                outbox.put(refused(request.method, error, request.req_id))
                continue
            except StorageError as error:
                # The same for every other name, after as long a wait each.
                raise BadRequest(f"{error} Try again in a moment.") from error
            try:
                if request.method == "subscribe":
                    await self._subscribe(request, topic, outbox)
                else:
                    self._unsubscribe(request, topic, outbox)
            except BadRequest as error:
                outbox.put(refused(request.method, BadRequest(str(error), name), request.req_id))
            except StorageError as error:
                refusal = BadRequest(f"{error} Try again in a moment.", name)
                outbox.put(refused(request.method, refusal, request.req_id))

    async def _answer_desk(self, request: Request, outbox: Outbox) -> None:
        is_told = DESK_TOPIC in self._topics
        if request.method == "unsubscribe":
            if not is_told:
                raise BadRequest("You are not subscribed to this.")
            self._topics.discard(DESK_TOPIC)
            self._leave_desk(outbox)
            outbox.put(subscribed(request, DESK_TOPIC, []))
            return
        if is_told:
            raise BadRequest("You are subscribed to this already.")
        desk = admin_desk()
        try:
            may = await database_sync_to_async(desk.remedies_of)(self.scope["user"])
        except Error as error:
            raise BadRequest("The database is not available. Try again in a moment.") from error
        if not outbox.over.is_set():
            self._topics.add(DESK_TOPIC)
            outbox.put(subscribed(request, DESK_TOPIC, []))
            self._board = desk_board(desk.read, desk.desk_html)
            self._board.follow(outbox, may)

    def _leave_desk(self, outbox: Outbox) -> None:
        if self._board is not None:
            self._board.leave(outbox)

    async def _subscribe(self, request: Request, topic: Topic, outbox: Outbox) -> None:
        if topic in self._topics:
            raise BadRequest("You are subscribed to this already.")
        if len(self._topics) >= MAX_SUBSCRIPTIONS:
            raise BadRequest(f"A client has at most {MAX_SUBSCRIPTIONS:,} subscriptions; unsubscribe first.")
        await hub().subscribe(outbox, topic, request)
        self._topics.add(topic)

    def _unsubscribe(self, request: Request, topic: Topic, outbox: Outbox) -> None:
        if topic not in self._topics:
            raise BadRequest("You are not subscribed to this.")
        self._topics.discard(topic)
        hub().unsubscribe(outbox, topic)
        outbox.put(subscribed(request, topic, []))

    async def _send_all(self, outbox: Outbox) -> None:
        """Send what is in the outbox until it runs over; then say so, and end it one way or the other."""
        watch = asyncio.create_task(self._cut_when_stuck(outbox))
        try:
            async for text in outbox.messages():
                await self.send(text_data=text)
            await self.send(text_data=slow(outbox.lost))
            await self.close(TOO_SLOW)
        except OSError:
            # It left in the middle of a message.
            pass
        finally:
            watch.cancel()
            outbox.close()

    async def _cut_when_stuck(self, outbox: Outbox) -> None:
        await outbox.over.wait()
        logger.warning("let a slow client go client=%s lost=%s", self.scope.get("client"), outbox.lost)
        hub().drop(outbox)
        self._leave_desk(outbox)
        await asyncio.sleep(CUT_SECONDS)
        self.scope["cut"]()

    async def _look_at_login(self) -> None:
        """Turn the client away once its login or its token is over, or it listens to what it may not any more."""
        while True:
            await asyncio.sleep(RECHECK_SECONDS)
            try:
                allowed = await self._allowed_now()
            except Error:
                # The database is away: nothing is told meanwhile that is not known already.
                continue
            if allowed is None:
                sentence = "Your login has ended. Log in to the admin again, or show a valid token."
                with suppress(OSError):
                    await self._turn_away(NOT_LOGGED_IN, sentence)
                return
            self._allowed = allowed
            if any(topic.channel not in allowed for topic in self._topics):
                with suppress(OSError):
                    await self._turn_away(
                        NOT_ALLOWED, "You may not view all of this any more; ask an administrator."
                    )
                return

    async def _allowed_now(self) -> set[str] | None:
        """The channels that the client may listen to by now; None where it may not listen at all."""
        if self._token is not None:
            caller = await find_token(self._token)
            return set(MODELS) if caller is not None and LIVE in caller.scopes else None
        key = self.scope["session"].session_key
        allowed: set[str] | None = await database_sync_to_async(allowed_in_session)(key)
        return allowed

    async def _turn_away(self, code: int, sentence: str) -> None:
        await self.send(text_data=turned_away(sentence))
        await self.close(code)


def shown_token(scope: Any) -> str | None:
    """What the handshake shows as `Authorization: Bearer …`; None where it shows nothing of the kind."""
    headers = dict(scope.get("headers", ()))
    shown = headers.get(b"authorization")
    return bearer_of(None if shown is None else shown.decode("latin-1"))


def allowed_in_session(session_key: str) -> set[str] | None:
    """The channels that the session's user may listen to; None where it is not one of the staff's any more."""
    store = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user: Any = get_user(cast(HttpRequest, SimpleNamespace(session=store)))
    return allowed_channels(user) if user.is_authenticated and user.is_staff else None


def allowed_channels(user: Any) -> set[str]:
    """The channels whose rows the user may view in the admin."""
    allowed = {channel for channel, model in MODELS.items() if user.has_perm(f"krakendata.view_{model}")}
    # Its page, and what that links to, are there with unfold alone.
    if apps.is_installed("unfold") and admin_desk().may_see(user):
        allowed.add(DESK)
    return allowed


def admin_desk() -> ModuleType:
    """The admin's side of the desk."""
    # Not before: the feed's program has consumers, and needs neither models nor pages.
    return import_module("krakendata.admin.desk")
