"""The roles and exactly what each may do: the one table, from which groups, tests and docs/reference/permissions.md
are made.

Nobody without a role, and no superuser, is spoken of here: the one may nothing, the other everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

# The groups' names. With our own in them: a project that we are installed into may have an "administrator" already, and
# its members must not be given what ours may do.
VIEWER, OPERATOR, ADMINISTRATOR = "krakendata viewer", "krakendata operator", "krakendata administrator"

ABOUT = {
    VIEWER: "looks at everything that was collected and at what runs; can start, stop and change nothing",
    OPERATOR: "runs the platform: says what is collected, stops and resumes, sets when tasks run",
    ADMINISTRATOR: "an operator who also gives people their accounts and roles, and programs their tokens",
}

OURS, AUTH, BEAT = "krakendata", "auth", "django_celery_beat"


@dataclass(frozen=True, slots=True)
class Power:
    """One thing to be allowed: the permission that opens it, what it opens, and the roles that have it."""

    permission: str
    title: str
    roles: tuple[str, ...]


EVERYONE = (VIEWER, OPERATOR, ADMINISTRATOR)
OPERATORS = (OPERATOR, ADMINISTRATOR)
ADMINISTRATORS = (ADMINISTRATOR,)

# What is only looked at, by its model.
SEEN_BY_EVERYONE = {
    "trade": "Trades",
    "candle": "Candles, and the live page",
    "syncstatus": "Sync status: what is collected, what is missing",
    "syncrun": "Runs",
    "rejectedrecord": "Rejected records",
    "auditfinding": "What audits found",
    "feedsession": "Feeds",
    "pair": "Pairs",
    "importfile": "Import files",
    "retentionline": "Retention",
}

POWERS = (
    *(Power(f"{OURS}.view_{model}", title, EVERYONE) for model, title in SEEN_BY_EVERYONE.items()),
    Power(f"{BEAT}.view_periodictask", "Schedules: what runs when, and next", EVERYONE),
    Power(f"{OURS}.change_pair", "Say which pairs are tracked", OPERATORS),
    Power(f"{OURS}.stop_syncrun", "Stop a run", OPERATORS),
    Power(f"{OURS}.resume_syncrun", "Resume a run that was stopped or cut off", OPERATORS),
    Power(f"{OURS}.edit_schedule", "Change when a task runs, and switch it off", OPERATORS),
    Power(f"{OURS}.view_operatoraction", "The log of what people did", OPERATORS),
    Power(f"{OURS}.add_syncrun", "Start a backfill or an audit of a stretch, from the map", OPERATORS),
    Power(f"{OURS}.fill_gaps", "Have gaps filled and histories fetched, from the desk", OPERATORS),
    Power(f"{OURS}.restart_syncrun", "Start a failed run again, from the desk", OPERATORS),
    Power(f"{OURS}.refresh_rollups", "Have rollups refreshed, from the desk", OPERATORS),
    Power(f"{OURS}.forget_worker", "Forget workers and feeds that are gone", OPERATORS),
    Power(f"{OURS}.add_upload", "Upload archives and import one's own", OPERATORS),
    Power(f"{OURS}.view_upload", "See everybody's uploads", OPERATORS),
    Power(f"{OURS}.delete_upload", "Take anybody's upload away", ADMINISTRATORS),
    Power(f"{OURS}.replay_rejectedrecord", "Replay rejected records", OPERATORS),
    Power(f"{OURS}.correct_rejectedrecord", "Correct rejected records", OPERATORS),
    Power(f"{OURS}.dismiss_rejectedrecord", "Dismiss rejected records", OPERATORS),
    Power(f"{OURS}.add_apitoken", "See, make and revoke API tokens", ADMINISTRATORS),
    *(
        Power(f"{AUTH}.{verb}_user", f"{title} people, superusers excepted", ADMINISTRATORS)
        for verb, title in {"view": "See", "add": "Add", "change": "Change", "delete": "Delete"}.items()
    ),
    Power(f"{AUTH}.view_group", "See the roles", ADMINISTRATORS),
    *(
        Power(f"{BEAT}.{verb}_{model}", f"{verb.capitalize()} {title}", ADMINISTRATORS)
        for model, title in {
            "periodictask": "entries of the timetable, their task and arguments included",
            "intervalschedule": "intervals of the timetable",
            "crontabschedule": "times of day of the timetable",
        }.items()
        for verb in ("view", "add", "change", "delete")
        if (verb, model) != ("view", "periodictask")
    ),
)

# What the admin's actions ask for, by the page's address and the action's name; the rest of a page goes by its model.
ACTIONS = {
    "krakendata_pair_changelist": dict.fromkeys(("track", "track_recent", "untrack"), f"{OURS}.change_pair"),
    "krakendata_apitoken_changelist": {"revoke": f"{OURS}.add_apitoken"},
    "krakendata_rejectedrecord_changelist": {"decide": f"{OURS}.replay_rejectedrecord"},
    "auth_user_changelist": {"delete_selected": f"{AUTH}.delete_user"},
    "auth_group_changelist": {"delete_selected": f"{AUTH}.delete_group"},
    "django_celery_beat_periodictask_changelist": {
        **dict.fromkeys(
            ("enable_tasks", "disable_tasks", "toggle_tasks", "run_tasks"), f"{BEAT}.change_periodictask"
        ),
        "delete_selected": f"{BEAT}.delete_periodictask",
    },
    **{
        f"django_celery_beat_{model}_changelist": {"delete_selected": f"{BEAT}.delete_{model}"}
        for model in ("intervalschedule", "crontabschedule", "clockedschedule", "solarschedule")
    },
}

# What every one of the staff may open, none and superusers alike.
FOR_STAFF = frozenset(
    {
        "index", "search", "logout", "password_change", "password_change_done", "jsi18n", "view_on_site",
        "app_list", "login", "autocomplete",
    }
)  # fmt: skip

# Pages of ours that belong to no ModelAdmin's own addresses, and what opens them.
PAGES = {
    "krakendata_sync_status": f"{OURS}.view_syncstatus",
    "krakendata_candles": f"{OURS}.view_candle",
    "krakendata_trades": f"{OURS}.view_trade",
    "krakendata_live": f"{OURS}.view_candle",
    "krakendata_runs_running": f"{OURS}.view_syncrun",
    "krakendata_run_now": f"{OURS}.view_syncrun",
    "krakendata_failed_runs": f"{OURS}.view_syncrun",
    "krakendata_completeness_map": f"{OURS}.view_syncstatus",
    "krakendata_map_cells": f"{OURS}.view_syncstatus",
    "krakendata_map_preview": f"{OURS}.view_syncstatus",
    "krakendata_map_runs": f"{OURS}.view_syncrun",
    "krakendata_pair_candles": f"{OURS}.view_candle",
    "krakendata_pair_certificate": f"{OURS}.view_syncstatus",
    "krakendata_onboard": f"{OURS}.change_pair",
    "krakendata_onboard_cost": f"{OURS}.change_pair",
    "krakendata_onboard_progress": f"{OURS}.view_pair",
    "krakendata_upload_received": f"{OURS}.add_upload",
    "krakendata_upload_changelist": f"{OURS}.add_upload",
    "krakendata_upload_change": f"{OURS}.add_upload",
    "krakendata_upload_history": f"{OURS}.view_upload",
    "krakendata_reject_decide": f"{OURS}.view_rejectedrecord",
    "krakendata_schedules": f"{BEAT}.view_periodictask",
}

# Addresses that only change something, and only by POST.
DEEDS = {
    "krakendata_run_stop": f"{OURS}.stop_syncrun",
    "krakendata_run_resume": f"{OURS}.resume_syncrun",
    "krakendata_schedule_edit": f"{OURS}.edit_schedule",
    "krakendata_map_start": f"{OURS}.add_syncrun",
    "krakendata_upload_begin": f"{OURS}.add_upload",
    "krakendata_upload_chunk": f"{OURS}.add_upload",
    "krakendata_upload_import": f"{OURS}.add_upload",
    "krakendata_upload_check": f"{OURS}.add_upload",
    "krakendata_upload_discard": f"{OURS}.add_upload",
    "krakendata_remedy_fill_gaps": f"{OURS}.fill_gaps",
    "krakendata_remedy_backfill": f"{OURS}.fill_gaps",
    "krakendata_remedy_run_due": f"{OURS}.fill_gaps",
    "krakendata_remedy_restart": f"{OURS}.restart_syncrun",
    "krakendata_remedy_upkeep": f"{OURS}.refresh_rollups",
    "krakendata_remedy_forget_feed": f"{OURS}.forget_worker",
    "krakendata_remedy_forget_worker": f"{OURS}.forget_worker",
    "auth_user_password_change": f"{AUTH}.change_user",
}

# Models whose rows nobody adds, changes or deletes here, superusers included: our own deeds write them.
LOOKED_AT = frozenset(
    {"upload", "pair", "importfile", "retentionline", "rejectedrecord", "syncrun", "operatoraction"}
)


def permissions_of(role: str) -> frozenset[str]:
    """Every permission the role has, each as `app.codename`."""
    return frozenset(power.permission for power in POWERS if role in power.roles)


def role_may(role: str, permission: str | None) -> bool:
    """Whether the role has it; None is a permission that nobody has."""
    return permission is not None and permission in permissions_of(role)


def permission_for(address: str) -> str | None:
    """The permission that opens an address of the admin (its name without `admin:`); None: it is shut to all roles.

    Raises KeyError for one that the tables do not know: whoever adds a page says who may open it.
    """
    if address in PAGES:
        return PAGES[address]
    if address in DEEDS:
        return DEEDS[address]
    owner, _, what = address.rpartition("_")
    app, _, model = owner.rpartition("_")
    if app not in (OURS, AUTH, BEAT):
        raise KeyError(address)
    verb = {"changelist": "view", "change": "view", "history": "view", "add": "add", "delete": "delete"}[what]
    if model == "apitoken" and verb != "delete":
        return f"{OURS}.add_apitoken"
    if (model in LOOKED_AT and verb != "view") or (model == "apitoken" and verb == "delete"):
        return None
    return f"{app}.{verb}_{model}"


def permission_to_change(address: str) -> str | None:
    """The permission to send the address a form (POST); None where nobody may."""
    owner, _, what = address.rpartition("_")
    if address in PAGES or address in DEEDS or what != "change":
        return permission_for(address)
    app, _, model = owner.rpartition("_")
    return None if model in LOOKED_AT or model == "apitoken" else f"{app}.change_{model}"


def as_markdown() -> str:
    """The table as docs/reference/permissions.md shows it, without a newline at its end."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield f"| what | permission | {' | '.join(ABOUT)} |"
    yield f"|---|---|{'---|' * len(ABOUT)}"
    for power in POWERS:
        marks = " | ".join("yes" if role in power.roles else "–" for role in ABOUT)
        yield f"| {power.title} | `{power.permission}` | {marks} |"
