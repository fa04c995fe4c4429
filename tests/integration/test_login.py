"""Logging in to the admin: the tries are counted, and who tried too often is told for how long to wait."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from krakendata.security import login_limit as limits
from krakendata.security.login_limit import ADDRESS_TRIES, NAME_TRIES, LoginLimit, buckets_of

pytestmark = pytest.mark.django_db

PASSWORD = "for this test only"


@pytest.fixture(autouse=True)
def passwords_are_hashed_quickly(settings: Settings) -> None:
    """An address gets a try back every 20 s, and slow hashes of its 30 tries take longer on a busy machine."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def address() -> str:
    """An address that no other test tries from: Redis remembers for minutes."""
    return f"2001:db8:{secrets.randbelow(65_536):x}:{secrets.randbelow(65_536):x}::1"


@pytest.fixture
def person(db: None) -> User:
    return User.objects.create_superuser(f"person-{secrets.token_hex(8)}", password=PASSWORD)


@pytest.fixture(params=["redis", "no redis", "redis away"])
def counted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Count in Redis, in the process, and in the process because Redis does not answer."""
    if request.param != "redis":
        # Nothing listens at the port for tests of TCP itself.
        limit = LoginLimit("redis://127.0.0.1:1/0" if request.param == "redis away" else None)
        monkeypatch.setattr(limits, "login_limit", lambda: limit)
    return str(request.param)


def attempt(name: str, password: str, address: str) -> Any:
    form = {"username": name, "password": password}
    return Client().post(reverse("admin:login"), form, REMOTE_ADDR=address)


def test_who_guesses_a_name_is_told_to_wait(counted: str, person: User, address: str) -> None:
    name = person.get_username()
    for _ in range(NAME_TRIES):
        assert attempt(name, "wrong", address).status_code == 200
    answer = attempt(name, "wrong", address)
    assert answer.status_code == 429
    seconds = int(answer["Retry-After"])
    assert 1 <= seconds <= 60
    assert f"Wait <strong>{seconds} second" in answer.content.decode()
    # The right password is not even looked at, from anywhere.
    assert attempt(name, PASSWORD, "192.0.2.99").status_code == 429
    assert attempt(name.upper(), PASSWORD, "192.0.2.99").status_code == 429


def test_who_guesses_many_names_is_told_to_wait(counted: str, person: User, address: str) -> None:
    for n in range(ADDRESS_TRIES):
        assert attempt(f"nobody {n} {address}", "wrong", address).status_code == 200
    assert attempt(person.get_username(), PASSWORD, address).status_code == 429
    # The name is not used up by it.
    assert attempt(person.get_username(), PASSWORD, f"{address[:-1]}ffff").status_code == 429
    assert attempt(person.get_username(), PASSWORD, "192.0.2.98").status_code == 302


def test_who_knows_the_password_is_not_counted(counted: str, person: User, address: str) -> None:
    name = person.get_username()
    for _ in range(ADDRESS_TRIES + 5):
        assert attempt(name, PASSWORD, address).status_code == 302
    for _ in range(NAME_TRIES):
        assert attempt(name, "wrong", address).status_code == 200


def test_who_is_logged_in_has_no_more_tries_of_another_name(
    counted: str, client: Client, person: User, address: str
) -> None:
    client.force_login(User.objects.create_superuser(f"guesser-{secrets.token_hex(8)}"))
    form = {"username": person.get_username(), "password": "wrong"}
    answers = [
        client.post(reverse("admin:login"), form, REMOTE_ADDR=address).status_code
        for _ in range(NAME_TRIES + 1)
    ]
    assert answers == [200] * NAME_TRIES + [429]


def test_a_right_password_fills_the_names_tries(counted: str, person: User, address: str) -> None:
    name = person.get_username()
    for _ in range(NAME_TRIES - 1):
        attempt(name, "wrong", address)
    assert attempt(name, PASSWORD, address).status_code == 302
    assert attempt(name, "wrong", address).status_code == 200


def test_two_processes_count_together(settings: Settings, person: User, address: str) -> None:
    one, other = LoginLimit(settings.REDIS_URL), LoginLimit(settings.REDIS_URL)
    _, name = buckets_of(address, person.get_username())
    for n in range(NAME_TRIES):
        assert (one, other)[n % 2].take(name) == 0
    assert one.take(name) > 0
    assert other.take(name) > 0
    other.forget(name)
    assert one.take(name) == 0
    one.close()
    other.close()


def test_the_page_is_as_it_was_otherwise(client: Client, person: User) -> None:
    page = client.get(reverse("admin:login"))
    assert page.status_code == 200
    assert reverse("admin:login") == "/admin/login/"
    client.force_login(person)
    assert client.get(reverse("admin:login")).status_code == 302


def test_a_login_needs_its_forms_token(person: User, address: str) -> None:
    client = Client(enforce_csrf_checks=True)
    form = {"username": person.get_username(), "password": PASSWORD}
    assert client.post(reverse("admin:login"), form, REMOTE_ADDR=address).status_code == 403
