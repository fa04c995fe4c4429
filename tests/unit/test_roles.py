"""The table of roles: what it promises, and that the documentation shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from config import env
from krakendata.security.roles import (
    ABOUT,
    ACTIONS,
    ADMINISTRATOR,
    DEEDS,
    OPERATOR,
    PAGES,
    POWERS,
    VIEWER,
    as_markdown,
    permission_for,
    permission_to_change,
    permissions_of,
)

REFERENCE = Path(env.ROOT, "docs/reference/permissions.md")
BEGIN, END = "<!-- made by krakendata/security/roles.py -->\n", "\n<!-- to here -->"


def test_the_reference_shows_the_table() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    assert text.partition(BEGIN)[2].partition(END)[0] == as_markdown()


def test_a_viewer_only_views() -> None:
    assert {name.partition(".")[2].partition("_")[0] for name in permissions_of(VIEWER)} == {"view"}


def test_each_role_may_what_the_one_before_it_may() -> None:
    assert permissions_of(VIEWER) < permissions_of(OPERATOR) < permissions_of(ADMINISTRATOR)


def test_each_permission_stands_in_the_table_once() -> None:
    names = [power.permission for power in POWERS]
    assert len(names) == len(set(names))
    assert all(set(power.roles) <= set(ABOUT) and power.title for power in POWERS)


def test_nobody_is_given_what_opens_every_door() -> None:
    given = set().union(*map(permissions_of, ABOUT))
    assert not given & {
        "auth.add_permission",
        "auth.change_group",
        "auth.add_group",
        "auth.change_permission",
    }


def test_a_deed_asks_for_more_than_to_look() -> None:
    asked = [*DEEDS.values(), *(name for actions in ACTIONS.values() for name in actions.values())]
    assert not set(asked) & permissions_of(VIEWER)


@pytest.mark.parametrize(
    ("address", "to_open", "to_change"),
    [
        ("krakendata_pair_changelist", "krakendata.view_pair", "krakendata.view_pair"),
        ("krakendata_pair_change", "krakendata.view_pair", None),
        ("krakendata_pair_add", None, None),
        ("krakendata_apitoken_delete", None, None),
        ("auth_user_change", "auth.view_user", "auth.change_user"),
        (
            "django_celery_beat_periodictask_delete",
            *["django_celery_beat.delete_periodictask"] * 2,
        ),
        ("krakendata_run_stop", "krakendata.stop_syncrun", "krakendata.stop_syncrun"),
    ],
)
def test_an_address_is_opened_by(address: str, to_open: str | None, to_change: str | None) -> None:
    assert (permission_for(address), permission_to_change(address)) == (to_open, to_change)


def test_an_unknown_page_is_an_error_and_not_open() -> None:
    with pytest.raises(KeyError):
        permission_for("elsewhere_page")
    with pytest.raises(KeyError):
        permission_for("krakendata_made_up")


def test_pages_and_deeds_are_two_things() -> None:
    assert not set(PAGES) & set(DEEDS)
