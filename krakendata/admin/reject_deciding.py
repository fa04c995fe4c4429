"""Deciding about rejected records: one on its own page, beside the rule that refused it, or a group at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from krakendata.admin.pages import Column, Table, link, page_of, show
from krakendata.admin.wording import NOTHING, chip, marked, number, second
from krakendata.errors import CorrectionRefused
from krakendata.ingest.raw_records import Verdict, corrected, fields_of, judge, rule_of, same_trade, shape_of
from krakendata.management.queueing import QueueAway, queue_task
from krakendata.models import Pair, RejectDecision, RejectedRecord
from krakendata.models.decisions import correct, dismiss, kept_reject
from krakendata.security.operator_log import describe_action, refuse_action
from krakendata.storage.reject_decisions import KeptReject, Selection
from krakendata.types import HistoricalCandle, Trade
from krakendata.validation import Reason, Rejection

# What a page shows of a group, to see what one decides about.
RECORDS_SHOWN = 5

# The newest of a record's history: one that is refused each time may have many.
DECISIONS_SHOWN = 50

# Of a selection by hand: the list reaches no further.
MOST_SELECTED = 10_000

# A bigint has at most 19 digits; 18 always fit.
MOST_DIGITS = 18

FIELD = "field:"
# What the buttons do, by the names of the operators' log.
DEEDS = {
    "replay": "replay_rejects", "dismiss": "dismiss_rejects", "correct": "correct_reject", "check": "check_reject",
}  # fmt: skip
PERMISSIONS = {deed: f"krakendata.{deed}_rejectedrecord" for deed in ("replay", "correct", "dismiss")}
SENTENCES = {reason.value: reason.sentence for reason in Reason}
TONES = {
    RejectedRecord.State.QUARANTINED: "busy",
    RejectedRecord.State.REPLAYED: "good",
    RejectedRecord.State.DISMISSED: "quiet",
}
# The operator's word for the first state; the others are words already.
STATES = {RejectedRecord.State.QUARANTINED: "waiting"}
ACTION_TONES = {"corrected": "busy", "dismissed": "quiet", "replayed": "good", "refused": "bad"}
HISTORY = [
    Column("When (UTC)"),
    Column("What"),
    Column("By"),
    Column("Why"),
    Column("Corrected to"),
    Column("Run"),
]
SAMPLE = [Column("Record"), Column("Place"), Column("Why it was refused"), Column("As it came")]
NO_REASON = "Say why: the reason is kept with each record."


def state_chip(record: RejectedRecord) -> SafeString:
    """Give the state as a chip."""
    state = RejectedRecord.State(record.state)
    return chip(STATES.get(state, state.value), TONES[state])


def sentence_of(reason: str) -> str:
    """Give a reason's sentence."""
    return SENTENCES.get(reason, "no longer among the reasons.")


def may(request: HttpRequest, deed: str) -> bool:
    """Whether the visitor may replay, correct or dismiss."""
    return bool(request.user.has_perm(PERMISSIONS[deed]))


def require(request: HttpRequest, *deeds: str) -> None:
    """Raise PermissionDenied unless the visitor may do all of these."""
    if not all(may(request, deed) for deed in deeds):
        raise PermissionDenied


def permissions_of(request: HttpRequest) -> dict[str, bool]:
    """What the visitor may, for templates."""
    return {f"may_{deed}": may(request, deed) for deed in PERMISSIONS}


def _text(request: HttpRequest, name: str) -> str:
    """What was sent under a name, without the character that no text in the database can have."""
    return request.POST.get(name, "").replace("\0", "").strip()


# --- one record ---------------------------------------------------------------------------------------------


@page_of(RejectedRecord)
def record_page(request: HttpRequest, object_id: str) -> HttpResponse:
    """Show a record beside its rule, with its fields and its history; do what is asked about it."""
    record = _record(object_id)
    decisions = list(record.decisions.order_by("-id")[:DECISIONS_SHOWN])[::-1]
    kept = kept_reject(record, decisions)
    if kept.corrected is None and len(decisions) == DECISIONS_SHOWN:
        # It may lie before those that are shown, and is what a replay reads all the same.
        kept = kept_reject(record, record.decisions.filter(action="corrected").order_by("-id")[:1])
    known = text = kept.raw if kept.corrected is None else kept.corrected
    verdict, wrong, why = "", "", _text(request, "why")
    if request.method == "POST":
        deed = request.POST.get("deed", "")
        describe_action(request, f"record {record.pk}", DEEDS.get(deed))
        if deed == "dismiss":
            wrong = _dismiss_one(request, record, why)
        elif deed == "replay":
            require(request, "replay")
            _queue(request, "replay_rejects", Selection(ids=(record.pk,)))
        elif deed in ("check", "correct"):
            require(request, *(("correct", "replay") if deed == "correct" else ()))
            text, verdict, wrong = _tried(request, kept, text)
            if deed == "correct" and not wrong:
                wrong = _correct_one(request, record, text, why)
        else:
            raise PermissionDenied
        if not wrong and deed != "check":
            return HttpResponseRedirect(request.path)
    return show(
        request,
        "reject.html",
        f"Rejected record {record.pk}",
        record=record,
        state=state_chip(record),
        is_waiting=record.state == RejectedRecord.State.QUARANTINED,
        raw=marked(record.raw),
        sentence=sentence_of(record.reason),
        shape=shape_of(kept),
        rule=rule_of(shape_of(kept)),
        facts=_facts(record),
        fields=[(FIELD + each.name, each) for each in fields_of(kept, text)],
        is_corrected=kept.corrected is not None,
        is_tried=text != known,
        verdict=verdict,
        errors=wrong,
        why=why,
        history=_history(decisions),
        **permissions_of(request),
    )


def _record(object_id: str) -> RejectedRecord:
    if not (object_id.isascii() and object_id.isdigit() and len(object_id) <= MOST_DIGITS):
        raise Http404(f"There is no rejected record {object_id}.")
    try:
        return RejectedRecord.objects.get(pk=int(object_id))
    except RejectedRecord.DoesNotExist as error:
        raise Http404(f"There is no rejected record {object_id}.") from error


def _facts(record: RejectedRecord) -> list[tuple[str, object]]:
    run = (
        NOTHING
        if record.run_id is None
        else link(f"Run {record.run_id}", "krakendata_syncrun_change", record.run_id)
    )
    return [
        ("Seen (UTC)", second(record.seen_at)),
        ("Source", record.source),
        ("Place", record.place),
        ("Line", number(record.line)),
        ("Symbol", record.symbol or NOTHING),
        ("Trade id", NOTHING if record.trade_id is None else record.trade_id),
        ("Run", run),
    ]


def _history(decisions: Sequence[RejectDecision]) -> Table:
    rows: list[list[object]] = []
    for each in reversed(decisions):
        outcome = f" {each.outcome}" if each.outcome else ""
        what = format_html("{}{}", chip(each.action, ACTION_TONES[each.action]), outcome)
        text = NOTHING if each.corrected is None else marked(each.corrected)
        run = (
            NOTHING
            if each.run_id is None
            else link(f"Run {each.run_id}", "krakendata_syncrun_change", each.run_id)
        )
        rows.append([second(each.decided_at), what, each.decided_by, each.why or NOTHING, text, run])
    return Table(HISTORY, rows, "Nobody has decided anything about it.")


def _tried(request: HttpRequest, kept: KeptReject, text: str) -> tuple[str, str, str]:
    """The text with the fields that were sent, what it would come in as, and why it would not."""
    sent = {
        name.removeprefix(FIELD): str(request.POST[name]) for name in request.POST if name.startswith(FIELD)
    }
    # Browsers send line ends in a form of their own: those are no correction.
    values = {
        each.name: sent[each.name]
        for each in fields_of(kept, text)
        if each.name in sent and sent[each.name].splitlines() != each.text.splitlines()
    }
    try:
        text = corrected(kept, text, values)
    except CorrectionRefused as refused:
        return text, "", str(refused)
    listed = frozenset(Pair.objects.values_list("symbol", flat=True))
    verdict = judge(kept, text, timezone.now(), listed or None)
    if isinstance(verdict, Rejection):
        return text, "", f"{verdict.reason}: {verdict.detail}"
    if isinstance(verdict, Trade) and verdict.trade_id and not same_trade(kept, verdict):
        return text, "", "A correction does not make another trade of a record: its trade_id stays."
    return text, _sentence(verdict), ""


def _sentence(verdict: Verdict) -> str:
    if isinstance(verdict, HistoricalCandle):
        return (
            f"It can be true: the {verdict.interval_minutes}-minute candle of {verdict.symbol} that begins at "
            f"{second(verdict.timestamp)} UTC."
        )
    assert isinstance(verdict, Trade)  # noqa: S101 (for the reader: a rejection was told before)
    name = f"trade {verdict.trade_id}" if verdict.trade_id else "a trade without an id"
    return (
        f"It can be true: {name} of {verdict.symbol} at {second(verdict.timestamp)} UTC, "
        f"{verdict.volume:f} for {verdict.price:f} each."
    )


def _correct_one(request: HttpRequest, record: RejectedRecord, text: str, why: str) -> str:
    """Keep the correction and let a worker replay the record; a sentence where that cannot be."""
    if text == record.raw and not record.decisions.filter(action="corrected").exists():
        return "Nothing was changed: replay it as it is."
    if not why:
        return NO_REASON
    if not correct(record, text, request.user.get_username(), why):
        return "Somebody has decided about this record meanwhile."
    _queue(request, "replay_rejects", Selection(ids=(record.pk,)), is_kept=True)
    return ""


def _dismiss_one(request: HttpRequest, record: RejectedRecord, why: str) -> str:
    require(request, "dismiss")
    if not why:
        return NO_REASON
    if not dismiss([record.pk], request.user.get_username(), why):
        return "Somebody has decided about this record meanwhile."
    messages.success(request, f"Record {record.pk} is dismissed. It is kept as it came.")
    return ""


# --- a group ------------------------------------------------------------------------------------------------


@page_of(RejectedRecord)
def decide_page(request: HttpRequest) -> HttpResponse:
    """Show a group, and replay or dismiss all of it: by a worker, as a run."""
    return deciding(request, _asked(request))


def deciding(request: HttpRequest, selection: Selection) -> HttpResponse:
    """The same about a selection; the list's actions come here too."""
    wrong, why = "", _text(request, "why")
    deed = request.POST.get("deed", "") if request.method == "POST" else ""
    field, value = _text(request, "field"), request.POST.get("value", "").replace("\0", "")
    if deed in DEEDS:
        chosen = ", ".join(f"{name} {given}" for name, given in _hidden(selection))
        describe_action(request, chosen, DEEDS[deed])
    if deed == "dismiss":
        require(request, "dismiss")
        wrong = "" if why else NO_REASON
        if not wrong and _queue(request, "dismiss_rejects", selection, why=why):
            return HttpResponseRedirect(reverse("admin:krakendata_rejectedrecord_changelist"))
    elif deed == "replay":
        require(request, "replay", *(("correct",) if field else ()))
        wrong = NO_REASON if field and not why else ""
        fields = {field: value} if field else None
        if not wrong and _queue(request, "replay_rejects", selection, fields=fields, why=why):
            return HttpResponseRedirect(reverse("admin:krakendata_rejectedrecord_changelist"))
    waiting = _waiting(selection)
    records = list(waiting.order_by("id")[:RECORDS_SHOWN])
    names = [each.name for each in fields_of(kept_reject(records[0]), records[0].raw)] if records else []
    return show(
        request,
        "reject_group.html",
        "Decide about rejected records",
        selection=selection,
        chosen=_words(selection),
        hidden=_hidden(selection),
        sample=_sample(records),
        names=names,
        field=field,
        value=value,
        why=why,
        errors=wrong,
        rules=[(reason, sentence_of(reason)) for reason in sorted({each.reason for each in records})],
        form_action=reverse("admin:krakendata_reject_decide"),
        **permissions_of(request),
    )


def group_address(**group: object) -> str:
    """Give the address of the page that decides about a group."""
    return f"{reverse('admin:krakendata_reject_decide')}?{urlencode(group)}"


def _asked(request: HttpRequest) -> Selection:
    """The selection that the address or the form names; Http404 where it names none."""
    asked = request.POST if request.method == "POST" else request.GET
    ids = [text for text in asked.get("ids", "").split(",") if text]
    run = asked.get("run") or None
    numbers = [*ids, *([run] if run else [])]
    if len(ids) > MOST_SELECTED or not all(
        text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS for text in numbers
    ):
        raise Http404("No such records.")
    if ids:
        return Selection(ids=tuple(map(int, ids)))
    source, reason, symbol = (asked.get(name) or None for name in ("source", "reason", "symbol"))
    if any("\0" in text for text in (source, reason, symbol) if text is not None):
        raise Http404("No such records.")
    if run is None and source is None and reason is None and symbol is None:
        raise Http404("No records are named.")
    return Selection(run=int(run) if run else None, source=source, reason=reason, symbol=symbol)


def _waiting(selection: Selection) -> Any:
    records = RejectedRecord.objects.filter(state=RejectedRecord.State.QUARANTINED)
    if selection.ids is not None:
        return records.filter(pk__in=selection.ids)
    group = {"run_id": selection.run, "source": selection.source, "reason": selection.reason}
    group |= {"symbol": selection.symbol}
    return records.filter(**{name: value for name, value in group.items() if value is not None})


def _words(selection: Selection) -> list[tuple[str, object]]:
    """What was chosen, for people."""
    if selection.ids is not None:
        return [("Records", f"{number(len(selection.ids))} chosen in the list")]
    return [(name.capitalize(), value) for name, value in selection.as_dict().items()]


def _hidden(selection: Selection) -> list[tuple[str, object]]:
    """What was chosen, for the form."""
    if selection.ids is not None:
        return [("ids", ",".join(map(str, selection.ids)))]
    return list(selection.as_dict().items())


def _sample(records: Sequence[RejectedRecord]) -> Table:
    rows = [
        [
            link(str(each.pk), "krakendata_rejectedrecord_change", each.pk),
            each.place.rpartition("/")[2] + ("" if each.line is None else f", line {each.line}"),
            each.detail,
            marked(each.raw),
        ]
        for each in records
    ]
    return Table(SAMPLE, rows, "None of them waits for a decision.")


def _queue(
    request: HttpRequest, name: str, selection: Selection, *, is_kept: bool = False, **arguments: Any
) -> bool:
    """Let a worker do it, and say so; False, with a message that names the command, where nobody takes it.

    `is_kept`: a correction was written before, and stays.
    """
    by = request.user.get_username()
    if selection.ids is None:
        # What is refused between the click and the worker's turn nobody has decided about.
        newest = RejectedRecord.objects.order_by("-pk").values_list("pk", flat=True).first()
        arguments["upto"] = newest or 0
    try:
        queue_task(name, selection=selection.as_dict(), by=by, **arguments)
    except QueueAway as away:
        sentence = f"{away} {command_for(name, selection)} does it without one."
        if is_kept:
            messages.warning(request, f"The correction is kept. {sentence}")
        else:
            refuse_action(request, sentence)
        return False
    verb = {"replay_rejects": "replays", "dismiss_rejects": "dismisses"}[name]
    runs = link("the runs", "krakendata_syncrun_changelist")
    what = "it" if selection.ids is not None and len(selection.ids) == 1 else "them"
    messages.success(request, format_html("A worker {} {}: {} show how far it is.", verb, what, runs))
    return True


def command_for(name: str, selection: Selection) -> str:
    """The command that decides the same here and now."""
    chosen = selection.as_dict()
    ids = chosen.pop("ids", [])
    words = [*map(str, ids[:RECORDS_SHOWN]), *(["…"] if len(ids) > RECORDS_SHOWN else [])]
    words += [f"--{option} {value}" for option, value in chosen.items()]
    why = " --why REASON" if name == "dismiss_rejects" else ""
    return f"manage.py {name} {' '.join(words)} --by NAME{why}"
