"""`manage.py replay_rejects` and `dismiss_rejects`, and the tasks of the same names."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from krakendata.models import RejectCount, RejectDecision, RejectedRecord, SyncRun
from krakendata.tasks.rejecting import dismiss_rejects, replay_rejects
from krakendata.tasks.running import Share

pytestmark = pytest.mark.django_db(transaction=True)

D = "timestamp,price,volume,side,order_type,misc,trade_id"


@pytest.fixture
def records() -> list[RejectedRecord]:
    """Write three that wait: two sides that nobody knows, one price of nothing."""
    run = SyncRun.objects.create(kind="import", state="done")
    rows = [("bad_side", "B"), ("bad_side", "S"), ("price_not_positive", "b")]
    for reason, kept in (("bad_side", 2), ("price_not_positive", 1)):
        RejectCount.objects.create(run=run, source="archive", reason=reason, count=kept, kept=kept)
    return [
        RejectedRecord.objects.create(
            run=run, source="archive", place="XBTUSD.csv", line=number, symbol="BTC/USD", layout=D, reason=reason,
            detail="d", raw=f"170000000{number},{0 if side == 'b' else 9},1,{side},l,,{number}", trade_id=number,
        )
        for number, (reason, side) in enumerate(rows, 1)
    ]  # fmt: skip


def told(command: str, *args: str) -> tuple[str, dict[str, Any]]:
    """Run a command; give what it said to people, and its facts."""
    out = StringIO()
    call_command(command, *args, "--json", stdout=out)
    *lines, facts = out.getvalue().splitlines()
    return "\n".join(lines), json.loads(facts)


def states() -> list[str]:
    return list(RejectedRecord.objects.order_by("id").values_list("state", flat=True))


def test_a_group_is_corrected_and_replayed(records: list[RejectedRecord]) -> None:
    said, facts = told(
        "replay_rejects", "--reason", "bad_side", "--set", "side=b", "--why", "capitals", "--by", "ada"
    )
    assert said.startswith("Tried 2 records:")
    assert (facts["read"], facts["corrected"], facts["rejected"], facts["state"]) == (2, 2, 0, "done")
    assert facts["stored"] + facts["folded"] == 2
    assert states() == ["replayed", "replayed", "quarantined"]
    assert RejectDecision.objects.filter(decided_by="ada", why="capitals").count() == 4
    run = SyncRun.objects.get(pk=facts["run"])
    assert (run.kind, run.state, run.done, run.total, run.unit) == ("replay_rejects", "done", 2, 2, "records")
    assert run.parameters["by"] == "ada"


def test_records_are_named_by_their_numbers(records: list[RejectedRecord]) -> None:
    _, facts = told("replay_rejects", str(records[2].pk), "--by", "ada")
    assert (facts["read"], facts["rejected"]) == (1, 1)
    assert RejectDecision.objects.get().why.startswith("price_not_positive: ")
    assert states() == ["quarantined"] * 3


def test_everything_that_waits_is_dismissed(records: list[RejectedRecord]) -> None:
    said, facts = told("dismiss_rejects", "--all", "--why", "noise", "--by", "ada")
    assert said.startswith("Dismissed 3 records")
    assert facts["dismissed"] == 3
    assert states() == ["dismissed"] * 3
    assert RejectCount.objects.filter(dismissed=0).count() == 0


@pytest.mark.parametrize(
    "args", [[], ["--all", "--run", "1"], ["1", "--all"], ["1", "--symbol", "BTC/USD"]], ids=" ".join
)
@pytest.mark.parametrize(
    "command", [["replay_rejects"], ["dismiss_rejects", "--why", "x"]], ids=lambda c: c[0]
)
def test_records_are_chosen_in_one_way(command: list[str], args: list[str]) -> None:
    with pytest.raises(CommandError, match="one of the three") as refused:
        call_command(*command, *args, "--by", "ada")
    assert refused.value.returncode == 2


@pytest.mark.parametrize("command", [["replay_rejects", "--all"], ["dismiss_rejects", "--all", "--why", "x"]])
def test_a_decision_wants_a_name(command: list[str]) -> None:
    with pytest.raises(CommandError, match="--by"):
        call_command(*command)
    with pytest.raises(CommandError, match="lacks its name"):
        call_command(*command, "--by", " ")


def test_a_correction_wants_a_reason(records: list[RejectedRecord]) -> None:
    with pytest.raises(CommandError, match="--why"):
        call_command("replay_rejects", "--all", "--by", "ada", "--set", "side=b")
    with pytest.raises(CommandError, match="FIELD=VALUE"):
        call_command("replay_rejects", "--all", "--by", "ada", "--set", "side")


def test_a_worker_replays_a_group(records: list[RejectedRecord]) -> None:
    selection = {"source": "archive", "reason": "bad_side"}
    asked = {"selection": selection, "by": "ada", "fields": {"side": "s"}, "why": "capitals"}
    done = replay_rejects.apply(kwargs=asked).get()
    assert (done["state"], done["read"], done["corrected"]) == ("done", 2, 2)
    assert states() == ["replayed", "replayed", "quarantined"]


def test_a_worker_dismisses_records(records: list[RejectedRecord]) -> None:
    selection = {"ids": [records[0].pk, records[2].pk]}
    done = dismiss_rejects.apply(kwargs={"selection": selection, "by": "ada", "why": "noise"}).get()
    assert (done["state"], done["dismissed"]) == ("done", 2)
    assert states() == ["dismissed", "quarantined", "dismissed"]


def test_a_share_that_is_used_up_leaves_the_rest_to_the_next_task(
    records: list[RejectedRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    queued: list[dict[str, Any]] = []
    monkeypatch.setattr(dismiss_rejects, "apply_async", lambda kwargs: queued.append(kwargs))
    monkeypatch.setattr(Share, "should_stop", lambda share: True)
    asked = {"selection": {"reason": "bad_side"}, "by": "ada", "why": "noise"}
    assert dismiss_rejects.apply(kwargs=asked).get()["state"] == "stopped"
    assert queued == [{**asked, "after": 0, "upto": records[-1].pk}]
    assert states() == ["quarantined"] * 3
    assert SyncRun.objects.get(kind="dismiss_rejects").state == "stopped"
