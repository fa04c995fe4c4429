"""People of the admin: staff without a role, one of each role, and what they have to do with."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

# None: staff to whom no role was given.
LogIn = Callable[[str | None], Client]


@pytest.fixture
def log_in(db: None) -> LogIn:
    """Give a browser in which somebody of the role is logged in, under the role's name ("nobody" without one)."""

    def browser(role: str | None) -> Client:
        name = role or "nobody"
        person = User.objects.filter(username=name).first() or User.objects.create_user(name, is_staff=True)
        if role is not None:
            person.groups.set([Group.objects.get(name=role)])
        client = Client()
        client.force_login(person)
        return client

    return browser
