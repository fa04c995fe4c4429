"""Where the past of a pair is to begin: which pair, the choices, and how a beginning is told."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.http import Http404
from django.utils import timezone

from krakendata.admin.browse import KRAKEN_OPENED, MomentField
from krakendata.admin.pair_names import pair_called
from krakendata.admin.wording import minute
from krakendata.models import Pair
from krakendata.types import GONE

# Who may say what is collected: as in the list of pairs.
MAY_TRACK = "krakendata.change_pair"

# Somebody waits for the answer: an exchange that takes longer is called away, and the pair can be tracked all the same.
ANSWER_SECONDS = 10.0

STARTS = {
    "first": ("its first trade: everything", None),
    "year": ("a year ago", timedelta(days=365)),
    "month": ("30 days ago", timedelta(days=30)),
    "date": ("another day:", None),
}


class StartForm(forms.Form):
    """Where the past of a pair is to begin."""

    start = forms.ChoiceField(
        choices=[(name, label) for name, (label, _) in STARTS.items()], widget=forms.RadioSelect
    )
    since = MomentField()

    def clean(self) -> dict[str, Any]:
        """A day has to be named where one was chosen, and only there, and has to be past."""
        given: dict[str, Any] = super().clean() or self.cleaned_data
        if given.get("start") == "date" and "since" not in self.errors:
            if given.get("since") is None:
                self.add_error("since", "Name the day, such as 2024-01-31.")
            elif given["since"] >= timezone.now():
                self.add_error("since", "That is not past.")
        elif given.get("since") is not None:
            self.add_error("since", "A day is filled in: choose “another day”, or leave it empty.")
        return given

    def moment(self, now: datetime) -> datetime | None:
        """The beginning in UTC; None: from the first trade on."""
        chosen = self.cleaned_data["start"]
        if chosen == "date":
            given: datetime = self.cleaned_data["since"]
            return given if given > KRAKEN_OPENED else None
        back = STARTS[chosen][1]
        return None if back is None else now.replace(second=0, microsecond=0) - back


def listed_pair(name: str) -> Pair:
    """The pair that is called so; one that is gone is not to be tracked."""
    pair = pair_called(name)
    if pair is None or pair.status in GONE:
        raise Http404(f"The exchange lists no pair {name}.")
    return pair


def told(since: datetime | None) -> str:
    return "its first trade" if since is None or since <= KRAKEN_OPENED else f"{minute(since)} UTC"
