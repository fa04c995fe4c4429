"""The matrix of permissions, met at every address of the admin, with every form, and by every action of every list."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from celery.app.task import Task
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.test import Client, RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)

from krakendata.api.tokens import digest_of
from krakendata.models import (
    ApiToken,
    ImportFile,
    OperatorAction,
    Pair,
    RejectedRecord,
    RetentionLine,
    SyncRun,
    Upload,
)
from krakendata.security.roles import (
    ABOUT,
    ACTIONS,
    ADMINISTRATOR,
    DEEDS,
    FOR_STAFF,
    OPERATOR,
    VIEWER,
    permission_for,
    permission_to_change,
    permissions_of,
    role_may,
)
from tests.fix_people import LogIn

pytestmark = pytest.mark.django_db

ROLES: list[str | None] = [None, VIEWER, OPERATOR, ADMINISTRATOR]
SYMBOL = "BTC/USD"
MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
# What else than 200 an address answers to who may open it, without arguments.
ANSWERS = {
    "krakendata_map_preview": 400,
    "krakendata_pair_candles": 400,
    "krakendata_pair_certificate": 404,
    "krakendata_onboard_cost": 404,
    "krakendata_onboard_progress": 404,
    "krakendata_reject_decide": 404,
    # It is somebody else's.
    "krakendata_upload_received": 404,
}


def addresses(resolver: URLResolver | None = None, is_admin: bool = False) -> Iterator[tuple[str, list[str]]]:
    """Every named address of the admin, with the names of its arguments."""
    for each in (resolver or get_resolver()).url_patterns:
        if isinstance(each, URLResolver):
            yield from addresses(each, is_admin or each.app_name == "admin")
        elif isinstance(each, URLPattern) and is_admin and each.name:
            yield each.name, list(each.pattern.converters) or list(each.pattern.regex.groupindex)


ADDRESSES = [(name, names) for name, names in addresses() if name not in FOR_STAFF]
NAMES = [name for name, _ in ADDRESSES]


@pytest.fixture
def rows(db: None) -> dict[str, Any]:
    """Write one row of each kind; gives their keys by model's name, and by the deeds that need a certain one."""
    run = SyncRun.objects.create(
        kind="backfill", state="stopped", finished_at=timezone.now(),
        parameters={"by": "worker", "symbol": SYMBOL, "since": None, "until": None, "newest_first": True},
    )  # fmt: skip
    interval = IntervalSchedule.objects.create(every=7, period=IntervalSchedule.MINUTES)
    entry = PeriodicTask.objects.create(name="sample", task="krakendata.tasks.upkeep", interval=interval)
    pair = Pair.objects.create(
        symbol=SYMBOL, key="XXBTZUSD", altname="XBTUSD", wsname="XBT/USD", base="BTC", quote="USD",
        status="online", price_decimals=1, volume_decimals=8,
    )  # fmt: skip
    line, _ = RetentionLine.objects.get_or_create(
        kind="trades", defaults={"line": MONDAY, "first_line": MONDAY}
    )
    return {
        "pair": pair.pk,
        "importfile": ImportFile.objects.create(path="a", version="1", symbol=SYMBOL, layout="x", size=1).pk,
        "retentionline": line.pk,
        "rejectedrecord": RejectedRecord.objects.create(
            run=run, source="archive", place="a", symbol=SYMBOL, reason="bad_side", detail="d", raw="r"
        ).pk,
        "syncrun": run.pk,
        "run": run.pk,
        "upload": Upload.objects.create(owner="x", name="a.csv", size=1).pk,
        "operatoraction": OperatorAction.objects.create(who="x", action="y", page="/").pk,
        "apitoken": ApiToken.objects.create(
            name="n", owner="o", digest=digest_of("n"), ending="0000", scopes=["live"]
        ).pk,
        "user": User.objects.create_user("somebody").pk,
        "group": Group.objects.create(name="a group of its own").pk,
        "intervalschedule": interval.pk,
        "crontabschedule": CrontabSchedule.objects.create(minute="5").pk,
        "clockedschedule": ClockedSchedule.objects.create(clocked_time=timezone.now()).pk,
        "solarschedule": SolarSchedule.objects.create(event="sunset", latitude=1, longitude=1).pk,
        "periodictask": entry.pk,
        "schedule": entry.pk,
    }


def address_of(name: str, names: list[str], rows: dict[str, Any]) -> str:
    """Fill the address's arguments with the row that its name speaks of."""
    if not names:
        return reverse(f"admin:{name}")
    about = next(rows[word] for word in reversed(name.split("_")[1:]) if word in rows)
    values = {"symbol": SYMBOL, "source": "archive"}
    return reverse(f"admin:{name}", args=[values.get(each, about) for each in names])


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect what is put on the task queue instead of putting it there."""
    found: list[str] = []
    monkeypatch.setattr(Task, "apply_async", lambda task, *_, **__: found.append(task.name))
    return found


def test_the_table_knows_every_address() -> None:
    unknown = []
    for name in NAMES:
        try:
            permission_for(name)
        except KeyError:
            unknown.append(name)
    assert unknown == [], "say in krakendata/security/roles.py who may open them"


@pytest.mark.parametrize(("name", "names"), ADDRESSES, ids=NAMES)
def test_a_page_opens_for_those_whom_the_table_names(
    name: str, names: list[str], rows: dict[str, Any], log_in: LogIn
) -> None:
    address = address_of(name, names, rows)
    found = {role: log_in(role).get(address).status_code for role in ROLES}
    is_deed = name in DEEDS and name != "auth_user_password_change"
    opened = 405 if is_deed else ANSWERS.get(name, 200)
    may = permission_for(name)
    for role in ROLES:
        if role and role_may(role, may):
            assert found[role] == opened, role
        else:
            # Some of the deeds look at the method first.
            assert found[role] == 403 or (is_deed and found[role] == 405), role


@pytest.mark.parametrize(("name", "names"), ADDRESSES, ids=NAMES)
def test_a_form_is_taken_from_those_whom_the_table_names(
    name: str, names: list[str], rows: dict[str, Any], log_in: LogIn, queued: list[str]
) -> None:
    address = address_of(name, names, rows)
    may = permission_to_change(name)
    for role in ROLES:
        status = log_in(role).post(address).status_code
        assert status < 500
        assert (status == 403) == (role is None or not role_may(role, may)), role


@pytest.mark.parametrize(("name", "names"), ADDRESSES, ids=NAMES)
def test_a_stranger_is_sent_to_the_login(
    name: str, names: list[str], rows: dict[str, Any], client: Client
) -> None:
    address = address_of(name, names, rows)
    for response in (client.get(address), client.post(address)):
        assert response.status_code == 302
        assert response["Location"].startswith(reverse("admin:login"))
    assert OperatorAction.objects.exclude(who="x").count() == 0


@pytest.mark.parametrize(
    "name", sorted(FOR_STAFF - {"login", "logout", "view_on_site", "app_list", "autocomplete"})
)
def test_what_all_staff_may_open(name: str, log_in: LogIn) -> None:
    assert {log_in(role).get(reverse(f"admin:{name}")).status_code for role in ROLES} == {200}


@pytest.mark.parametrize("name", ["index", "krakendata_pair_changelist"])
def test_who_is_no_staff_gets_nowhere(name: str, client: Client) -> None:
    member = User.objects.create_user("member")
    member.groups.set(Group.objects.filter(name=ADMINISTRATOR))
    client.force_login(member)
    assert client.get(reverse(f"admin:{name}")).status_code == 302


# --- actions ------------------------------------------------------------------------------------------------


def list_of(model: Any) -> str:
    return f"{model._meta.app_label}_{model._meta.model_name}_changelist"


def offered(page: Any, person: Any) -> set[str]:
    request = RequestFactory().get("/")
    request.user = person
    return set(page.get_actions(request))


def test_the_table_knows_every_action() -> None:
    superuser = User.objects.create_superuser("superuser")
    found = {list_of(model): offered(page, superuser) for model, page in admin.site._registry.items()}
    assert {name: actions for name, actions in found.items() if actions} == {
        name: set(actions) for name, actions in ACTIONS.items()
    }


@pytest.mark.parametrize("role", ROLES)
def test_a_list_offers_the_actions_that_the_table_names(role: str | None, log_in: LogIn) -> None:
    log_in(role)
    person = User.objects.get(username=role or "nobody")
    for model, page in admin.site._registry.items():
        asked = ACTIONS.get(list_of(model), {})
        wanted = {name for name, may in asked.items() if role and role_may(role, may)}
        assert offered(page, person) == wanted, model


EVERY_ACTION = [(name, action) for name, actions in ACTIONS.items() for action in actions]


@pytest.mark.parametrize(("name", "action"), EVERY_ACTION)
@pytest.mark.parametrize("role", [None, VIEWER])
def test_who_only_looks_starts_nothing(
    role: str | None, name: str, action: str, rows: dict[str, Any], log_in: LogIn, queued: list[str],
    django_capture_on_commit_callbacks: Any,
) -> None:  # fmt: skip
    row = next(rows[word] for word in reversed(name.split("_")) if word in rows)
    before = everything()
    with django_capture_on_commit_callbacks(execute=True):
        log_in(role).post(
            reverse(f"admin:{name}"), {"action": action, "_selected_action": [row], "post": "yes"}
        )
    assert everything() == before
    assert queued == []
    assert {done.result for done in OperatorAction.objects.exclude(who="x")} == {"refused"}


def everything() -> dict[str, list[Any]]:
    """All rows that an action could change."""
    models = (
        Pair,
        SyncRun,
        RejectedRecord,
        Upload,
        ApiToken,
        PeriodicTask,
        IntervalSchedule,
        CrontabSchedule,
        ClockedSchedule,
        SolarSchedule,
    )
    rows = {model.__name__: list(model.objects.order_by("pk").values()) for model in models}
    return {
        **rows,
        "User": list(User.objects.exclude(username__in=[*ABOUT, "nobody"]).values()),
        "Group": list(Group.objects.values()),
    }


# --- the groups ---------------------------------------------------------------------------------------------


def given(name: str) -> set[str]:
    found = Permission.objects.filter(group__name=name).values_list("content_type__app_label", "codename")
    return {f"{label}.{codename}" for label, codename in found}


@pytest.mark.parametrize("role", ABOUT)
def test_each_role_is_a_group_with_exactly_its_permissions(role: str) -> None:
    assert given(role) == permissions_of(role)


def test_a_migrate_sets_the_roles_right_and_leaves_the_rest_alone() -> None:
    other = Group.objects.create(name="night shift")
    odd = Permission.objects.get(codename="delete_user")
    other.permissions.set([odd])
    viewers = Group.objects.get(name=VIEWER)
    viewers.permissions.add(odd)
    member = User.objects.create_user("member")
    member.groups.set([viewers, other])
    for _ in range(2):
        call_command("migrate", verbosity=0)
        assert given(VIEWER) == permissions_of(VIEWER)
        assert given("night shift") == {"auth.delete_user"}
        assert set(member.groups.all()) == {viewers, other}
    assert Group.objects.count() == len(ABOUT) + 1


def test_roles_need_no_permission_that_does_not_exist() -> None:
    known = {
        f"{label}.{codename}"
        for label, codename in Permission.objects.values_list("content_type__app_label", "codename")
    }
    assert set().union(*map(permissions_of, ABOUT)) <= known
    assert ContentType.objects.filter(app_label="krakendata", model="operatoraction").exists()


# --- people -------------------------------------------------------------------------------------------------


def form_of(client: Client, person: User, **changes: Any) -> dict[str, Any]:
    address = reverse("admin:auth_user_change", args=[person.pk])
    form = client.get(address).context["adminform"].form
    values = {name: form[name].value() for name in form.fields if name not in ("password", "date_joined")}
    values |= {"date_joined_0": "2024-01-01", "date_joined_1": "00:00:00", **changes}
    return {name: value for name, value in values.items() if value not in (None, False)}


def test_an_administrator_gives_a_role(log_in: LogIn) -> None:
    client, person = log_in(ADMINISTRATOR), User.objects.create_user("person", is_staff=True)
    address = reverse("admin:auth_user_change", args=[person.pk])
    operators = Group.objects.get(name=OPERATOR)
    answer = client.post(address, form_of(client, person, groups=[operators.pk]))
    assert answer.status_code == 302, answer.context["errors"]
    assert set(person.groups.all()) == {operators}


def give_permission(person: User) -> None:
    person.user_permissions.add(Permission.objects.get(codename="add_session"))


def give_group(person: User) -> None:
    person.groups.add(Group.objects.create(name="night shift"))


@pytest.mark.parametrize("give", [give_permission, give_group])
def test_who_has_more_than_a_role_is_changed_by_superusers_alone(
    give: Callable[[User], None], log_in: LogIn, client: Client
) -> None:
    person = User.objects.create_user("person", "person@example.org", "as it was", is_staff=True)
    administrator = log_in(ADMINISTRATOR)
    form = form_of(administrator, person, email="other@example.org")
    password = {"password1": "correct-horse-battery", "password2": "correct-horse-battery"}
    give(person)
    change = reverse("admin:auth_user_change", args=[person.pk])
    anew = reverse("admin:auth_user_password_change", args=[person.pk])
    assert administrator.get(change).status_code == 200
    assert administrator.post(change, form).status_code == 403
    assert administrator.get(anew).status_code == 403
    assert administrator.post(anew, password).status_code == 403
    person.refresh_from_db()
    assert (person.email, person.check_password("as it was")) == ("person@example.org", True)
    client.force_login(User.objects.create_superuser("superuser"))
    assert client.post(anew, {**password, "usable_password": "true"}).status_code == 302
    assert client.post(change, form_of(client, person)).status_code == 302


def test_an_administrator_makes_nobody_a_superuser(log_in: LogIn) -> None:
    client = log_in(ADMINISTRATOR)
    themselves = User.objects.get(username=ADMINISTRATOR)
    # A role's name has a blank, which no form takes in a person's.
    themselves.username = "ada"
    themselves.save()
    every = list(Permission.objects.values_list("pk", flat=True))
    address = reverse("admin:auth_user_change", args=[themselves.pk])
    roles = list(themselves.groups.values_list("pk", flat=True))
    answer = client.post(
        address, form_of(client, themselves, is_superuser="on", user_permissions=every, groups=roles)
    )
    assert answer.status_code == 302, answer.context["errors"]
    themselves.refresh_from_db()
    assert not themselves.is_superuser
    assert themselves.user_permissions.count() == 0


def test_an_administrator_does_not_join_other_groups(log_in: LogIn) -> None:
    client, person = log_in(ADMINISTRATOR), User.objects.create_user("person", is_staff=True)
    every = Group.objects.create(name="everything")
    address = reverse("admin:auth_user_change", args=[person.pk])
    assert client.post(address, form_of(client, person, groups=[every.pk])).status_code == 200
    assert person.groups.count() == 0


@pytest.mark.parametrize("name", ["auth_user_change", "auth_user_delete", "auth_user_password_change"])
def test_a_superuser_is_out_of_an_administrators_reach(name: str, log_in: LogIn) -> None:
    superuser = User.objects.create_superuser("superuser")
    client = log_in(ADMINISTRATOR)
    address = reverse(f"admin:{name}", args=[superuser.pk])
    for answer in (client.get(address), client.post(address, {"post": "yes"})):
        assert answer.status_code in (302, 404)
    assert User.objects.filter(pk=superuser.pk).exists()
    assert "superuser</a>" not in client.get(reverse("admin:auth_user_changelist")).content.decode()
