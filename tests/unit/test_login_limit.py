"""What is counted of tries to log in, and how, where no Redis is."""

from __future__ import annotations

import pytest

from krakendata.security.login_limit import Bucket, LoginLimit, buckets_of, network_of


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        ("somewhere", "unknown"),
    ],
)
def test_what_is_counted_together(address: str, counted: str) -> None:
    assert network_of(address) == counted


def test_a_name_is_counted_whatever_its_case_and_not_written_down() -> None:
    _, name = buckets_of("192.0.2.7", "Operator ")
    assert name == buckets_of("198.51.100.1", "operator")[1]
    assert "operator" not in name.key


def test_tries_are_used_up_and_come_back_evenly() -> None:
    clock = Clock()
    limit, bucket = LoginLimit(None, clock), Bucket("x", 3, 30.0)
    assert [limit.take(bucket) for _ in range(3)] == [0, 0, 0]
    assert limit.take(bucket) == pytest.approx(10)
    clock.now += 10
    assert [limit.take(bucket), limit.take(bucket)] == [0, pytest.approx(10)]


def test_others_are_not_concerned() -> None:
    limit = LoginLimit(None, Clock())
    for _ in range(5):
        limit.take(Bucket("x", 1, 30.0))
    assert limit.take(Bucket("y", 1, 30.0)) == 0


def test_who_knew_the_password_begins_anew() -> None:
    limit, bucket = LoginLimit(None, Clock()), Bucket("x", 2, 30.0)
    for _ in range(3):
        limit.take(bucket)
    limit.forget(bucket)
    assert [limit.take(bucket) for _ in range(2)] == [0, 0]


def test_one_try_is_given_back_and_no_more() -> None:
    limit, bucket = LoginLimit(None, Clock()), Bucket("x", 2, 30.0)
    for _ in range(2):
        limit.take(bucket)
    limit.give_back(bucket)
    assert limit.take(bucket) == 0
    assert limit.take(bucket) == pytest.approx(15)
