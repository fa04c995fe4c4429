"""Who may read the metrics: who knows the token, or asks from an allowed network, and nobody else."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from krakendata.metrics.access import may_read

TOKEN = "a token of these tests"
NETWORKS = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


@pytest.mark.parametrize("header", [f"Bearer {TOKEN}", f"bearer {TOKEN}"])
def test_who_knows_the_token_may(header: str) -> None:
    assert may_read(header, "192.0.2.1", TOKEN, [])


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        "Bearer ü",
    ],
)
def test_who_does_not_may_not(header: str) -> None:
    assert not may_read(header, "192.0.2.1", TOKEN, NETWORKS)


def test_without_a_token_no_word_opens() -> None:
    assert not may_read("Bearer None", "192.0.2.1", None, [])
    assert not may_read("Bearer ", "192.0.2.1", None, [])


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "fd12::1"])
def test_who_is_within_a_network_may(address: str) -> None:
    assert may_read("", address, TOKEN, NETWORKS)


@pytest.mark.parametrize(
    "address", ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1", "", "unix:", "10.1.2.3:80"]
)
def test_who_is_outside_may_not(address: str) -> None:
    assert not may_read("", address, None, NETWORKS)
