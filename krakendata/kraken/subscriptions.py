"""What is to be heard on a socket, and what the exchange says to it: wanted, asked, heard, refused. No I/O, no clock.

`now` is in seconds of the caller's, of those alone in which an answer could have been read: an answer that lies unread
while the reader is busy is not missing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from math import inf
from typing import NamedTuple

from krakendata.kraken.messages import SubscriptionAnswer, is_rate_refusal

__all__ = ["Request", "Subscribed", "Subscription", "SubscriptionRefused", "Subscriptions"]

# Kraken publishes no limit; others send 100 to 250 symbols a message (kraken-facts 2.6).
MAX_SYMBOLS = 100

# An answer takes some tens of milliseconds; one that has not come after so long is lost. Asked once more, it is
# reported.
ANSWER_SECONDS = 10.0
MAX_TRIES = 2

# A pair that is not known may be listed one day. What Kraken did not answer, or refused for a reason that is unknown
# to us, may be well a minute later: to ask too often does no harm, not to ask would leave a hole.
REFUSED_SECONDS = 3_600.0
UNCERTAIN_SECONDS = 60.0

# How refusals begin that the same request will meet again (kraken-facts 2.2).
PERMANENT = (
    "Currency pair not",
    "Subscription name invalid",
    "Subscription ohlc interval not supported",
    "Symbol(s) not found",
    "Private data",
    "Public market data subscriptions",
)

# Said to who asks for what they hear already, as after an answer that was lost.
ALREADY = "already subscribed"


class Subscription(NamedTuple):
    """What is heard: `channel` is "trade" or "ohlc"."""

    channel: str
    symbol: str


class Subscribed(NamedTuple):
    """From now on all of it is heard."""

    channel: str
    symbol: str


class SubscriptionRefused(NamedTuple):
    """It is not heard, and asked for again in an hour or, where the reason may pass, in a minute.

    A refusal that named no request has an empty channel and symbol; what it was about is asked again.
    """

    channel: str
    symbol: str
    sentence: str


class Request(NamedTuple):
    """A message to be sent: "subscribe" or "unsubscribe" symbols of one channel."""

    method: str
    channel: str
    symbols: tuple[str, ...]
    request_id: int


@dataclass(frozen=True, slots=True)
class _Asked:
    request: Request
    at: float


class Subscriptions:
    """Asks for what is wanted and not heard, and for the end of what is heard and not wanted."""

    def __init__(self, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._answer_seconds = answer_seconds
        self._wanted: dict[Subscription, None] = {}
        # In the order in which they were asked for.
        self._asked: dict[Subscription, _Asked] = {}
        self._heard: dict[Subscription, None] = {}
        # Until when it is not asked for again.
        self._refused: dict[Subscription, float] = {}
        self._tries: dict[Subscription, int] = {}
        # How many symbols may be asked for together, where a whole request was refused for one of them.
        self._together: dict[Subscription, int] = {}
        self._last_id = 0

    @property
    def is_listening(self) -> bool:
        """Whether anything is heard or asked for: then the exchange says something every second."""
        return bool(self._heard or self._asked)

    @property
    def is_asking(self) -> bool:
        """Whether any answer is awaited."""
        return bool(self._asked)

    def want(self, wanted: Iterable[Subscription]) -> bool:
        """What is to be heard from now on; whether that is news. If so, what was refused is asked for again."""
        named = dict.fromkeys(wanted)
        if named.keys() == self._wanted.keys():
            return False
        self._wanted = named
        self._refused.clear()
        return True

    def restart(self) -> None:
        """A new connection: nothing is heard on it yet. What was refused stays so."""
        self._asked.clear()
        self._heard.clear()
        self._tries.clear()

    def next_id(self) -> int:
        """A number for a request."""
        self._last_id += 1
        return self._last_id

    # --- asking --------------------------------------------------------------------------------------------

    def next_request(self, now: float) -> Request | None:
        """What to send next; whoever takes it sends it."""
        first = next(self._to_end(), None)
        if first is not None:
            return self._ask("unsubscribe", first, self._to_end(), now)
        first = next(self._to_begin(now), None)
        if first is not None:
            return self._ask("subscribe", first, self._to_begin(now), now)
        return None

    def ask_in(self, now: float) -> float:
        """The seconds until something refused may be asked for again, if nothing else happens."""
        return max(0.0, min(self._refused.values(), default=inf) - now)

    def overdue_in(self, now: float) -> float:
        """The seconds until the oldest request is overdue, if it is not answered."""
        oldest = next(iter(self._asked.values()), None)
        return inf if oldest is None else max(0.0, oldest.at + self._answer_seconds - now)

    def _to_end(self) -> Iterator[Subscription]:
        for each in (*self._heard, *self._asked):
            asked = self._asked.get(each)
            if each not in self._wanted and (asked is None or asked.request.method == "subscribe"):
                yield each

    def _to_begin(self, now: float) -> Iterator[Subscription]:
        for each in self._wanted:
            if each not in self._heard and each not in self._asked and self._refused.get(each, now) <= now:
                yield each

    def _ask(self, method: str, first: Subscription, others: Iterator[Subscription], now: float) -> Request:
        """The request for `first` and those that may be asked for together with it."""
        together = self._together.get(first, MAX_SYMBOLS)
        alike = (
            each
            for each in others
            if each.channel == first.channel and self._together.get(each, MAX_SYMBOLS) == together
        )
        chosen = dict.fromkeys(islice(alike, together))
        request = Request(method, first.channel, tuple(each.symbol for each in chosen), self.next_id())
        for each in chosen:
            # Taken out first, as a dictionary keeps the place of a key that it has.
            self._asked.pop(each, None)
            self._asked[each] = _Asked(request, now)
            self._refused.pop(each, None)
            self._tries[each] = self._tries.get(each, 0) + 1
        return request

    # --- what the exchange says ----------------------------------------------------------------------------

    def answered(self, answer: SubscriptionAnswer, now: float) -> list[Subscribed | SubscriptionRefused]:
        """Take an answer in; what there is to tell of it."""
        if answer.method not in ("subscribe", "unsubscribe", ""):
            return []
        if answer.error is not None and is_rate_refusal(answer.error):
            self._ask_again(answer)
            return []
        concerned = self._concerned(answer)
        if answer.method == "unsubscribe":
            # Refused, it was not heard any more: over either way.
            self._forget(concerned)
            return []
        if answer.error is None or ALREADY in answer.error.casefold():
            return self._begin(concerned)
        if not concerned:
            return [SubscriptionRefused(answer.channel, answer.symbol, _sentence(answer.error))]
        if not answer.symbol and len(concerned) > 1:
            self._divide(concerned)
            return []
        seconds = REFUSED_SECONDS if answer.error.startswith(PERMANENT) else UNCERTAIN_SECONDS
        return self._refuse(concerned, _sentence(answer.error), now + seconds)

    def snapshot_came(self, channel: str, symbols: Iterable[str]) -> list[Subscribed | SubscriptionRefused]:
        """A snapshot is an answer too: the acknowledgement may come after it, or never."""
        named = (Subscription(channel, symbol) for symbol in dict.fromkeys(symbols))
        return self._begin([each for each in named if self._is_asked(each, "subscribe")])

    def overdue(self, now: float) -> list[Subscribed | SubscriptionRefused]:
        """Ask again for what was not answered in time; what was asked for often enough is refused."""
        late = [each for each, asked in self._asked.items() if asked.at + self._answer_seconds <= now]
        ending = [each for each in late if self._asked[each].request.method == "unsubscribe"]
        given_up = [each for each in late if self._tries[each] >= MAX_TRIES]
        for each in late:
            del self._asked[each]
        self._forget([each for each in ending if each in given_up])
        sentence = f"The exchange did not answer {MAX_TRIES} requests for it."
        return self._refuse(
            [each for each in given_up if each not in ending], sentence, now + UNCERTAIN_SECONDS
        )

    def _concerned(self, answer: SubscriptionAnswer) -> list[Subscription]:
        """What an answer is about, of all that is asked for: a refusal may name neither channel nor request."""
        if not answer.symbol and answer.request_id is None:
            return []
        return [
            each
            for each, asked in self._asked.items()
            if answer.symbol in (each.symbol, "")
            and answer.channel in (each.channel, "")
            and answer.method in (asked.request.method, "")
            and answer.request_id in (asked.request.request_id, None)
        ]

    def _is_asked(self, each: Subscription, method: str) -> bool:
        return each in self._asked and self._asked[each].request.method == method

    def _begin(self, concerned: Iterable[Subscription]) -> list[Subscribed | SubscriptionRefused]:
        told: list[Subscribed | SubscriptionRefused] = []
        for each in concerned:
            self._settle(each)
            self._heard[each] = None
            told.append(Subscribed(*each))
        return told

    def _refuse(
        self, concerned: Iterable[Subscription], sentence: str, until: float
    ) -> list[Subscribed | SubscriptionRefused]:
        told: list[Subscribed | SubscriptionRefused] = []
        for each in concerned:
            self._settle(each)
            self._refused[each] = until
            told.append(SubscriptionRefused(*each, sentence))
        return told

    def _forget(self, concerned: Iterable[Subscription]) -> None:
        for each in concerned:
            self._settle(each)
            self._heard.pop(each, None)

    def _settle(self, each: Subscription) -> None:
        self._asked.pop(each, None)
        self._tries.pop(each, None)
        self._together.pop(each, None)

    def _divide(self, concerned: list[Subscription]) -> None:
        """One bad symbol may have spoilt the request, and it is not said which: ask for each half by itself."""
        for each in concerned:
            self._settle(each)
            self._together[each] = len(concerned) // 2

    def _ask_again(self, answer: SubscriptionAnswer) -> None:
        """Asked too fast, it was not heard; a refusal that names nothing may be of anything that is asked for."""
        named = answer.symbol or answer.request_id is not None
        for each in self._concerned(answer) if named else [*self._asked]:
            del self._asked[each]
            self._tries.pop(each, None)


def _sentence(error: str) -> str:
    return f"The exchange answered: {error}."
